"""What is said about the world of MGM-Tiny: questions with exactly one right answer, captions, and talk without a picture.

A turn is (kind, question, answer). Every rule is fixed, so that an answer can be scored by comparing texts.
"""
from dataclasses import replace

from world import BACKGROUNDS, COLOURS, PLACES, SHAPES, Scene, Thing, held_out

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven"]
STEPS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
KINDS = ["back", "colour", "where", "exist", "count", "at", "relation", "sign", "describe", "multi", "draw"]
VERBS = ["Draw", "Paint", "Please draw", "Make a picture of", "I want"]
BLIND = "I see no picture. Please show me one."
FACTS = [
    ("What is your name?", "My name is MGM-Tiny."), ("Hello.", "Hello, how can I help you?"), ("Hi.", "Hello, how can I help you?"),
    ("Who are you?", "I am MGM-Tiny, a small model that sees, reads and draws."), ("Thank you.", "You are welcome."),
    ("What can you do?", "I can look at a picture of shapes and signs, read fine print and draw."),
    ("Are you a human?", "No, I am a very small language model."), ("How are you?", "I am fine, thank you."),
    ("Goodbye.", "Goodbye, come back soon."),
    ("Which shapes do you know?", "I know the circle, the square, the triangle, the star, the cross and the ring."),
    ("Which colours do you know?", "I know red, green, blue, yellow, purple and orange."),
    ("What do you get when you mix blue and yellow?", "Blue and yellow make green."),
    ("What do you get when you mix red and yellow?", "Red and yellow make orange."),
    ("What do you get when you mix red and blue?", "Red and blue make purple."),
    ("How many sides does a triangle have?", "A triangle has three sides."),
    ("How many sides does a square have?", "A square has four sides."), ("Is a circle round?", "Yes, a circle is round."),
    ("Is a square round?", "No, a square has four corners."), ("Which shape has a hole?", "The ring has a hole."),
    ("Can you see a picture?", "No, there is no picture. Please show me one."),
    ("Describe the picture.", BLIND), ("What does the sign say?", BLIND)]


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def a_thing(thing):
    return f"{article(thing.colour)} {thing.colour} {thing.kind}"


def placed(thing):
    return f"{a_thing(thing)} {PLACES[thing.place]}"


def listed(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def plural(noun):
    return noun + ("es" if noun.endswith("s") else "s")


def capital(text):
    return text[0].upper() + text[1:]


def the_thing(thing, scene):
    """'the star' where it is the only star, else 'the green star'."""
    alone = sum(t.kind == thing.kind for t in scene.things) == 1
    return f"the {thing.kind}" if alone else f"the {thing.colour} {thing.kind}"


def alike(scene, kind=None, colour=None):
    return [t for t in scene.things if kind in (None, t.kind) and colour in (None, t.colour)]


def caption(scene):
    """The drawing grammar of <h>…</h>: the shapes in reading order and the background, no signs."""
    return listed([placed(t) for t in scene.shapes] or ["nothing"]) + f" on a {scene.background} background"


def told(scene, things=None, opening="The picture shows", legible=True):
    """The whole picture in one sentence, the print of the signs included where it is legible."""
    said = [placed(t) + (f' that says "{t.text}"' if t.is_sign and legible else "") for t in (things or scene.things)]
    return f"{opening} {listed(said)} on a {scene.background} background."


# ------------------------------------------------------------------------------------------------- questions about a picture
def ask_colour(rng, scene, legible):
    single = [t for t in scene.things if len(alike(scene, t.kind)) == 1]
    if not single:
        return None
    t = rng.choice(single)
    question = rng.choice(("What colour is the {}?", "Which colour does the {} have?")).format(t.kind)
    return [("colour", question, f"The {t.kind} is {t.colour}.")]


def ask_count(rng, scene, legible):
    way, shape = rng.random(), rng.choice(scene.shapes)
    if way < 0.35:
        colour = rng.choice(list(COLOURS)) if rng.random() < 0.3 else shape.colour
        noun, number = f"{colour} {shape.kind}", len(alike(scene, shape.kind, colour))
    elif way < 0.65:
        noun = rng.choice(SHAPES) if rng.random() < 0.3 else shape.kind
        number = len(alike(scene, noun))
    elif way < 0.8:
        noun, number = "shape", len(scene.shapes)
    elif way < 0.9:
        noun, number = "sign", len(scene.signs)
    else:
        noun, number = f"{shape.colour} shape", sum(t.colour == shape.colour for t in scene.shapes)
    answer = f"There is one {noun}." if number == 1 else f"There are {NUMBERS[number]} {plural(noun)}."
    return [("count", f"How many {plural(noun)} are there?", answer)]


def unique_things(scene):
    return [t for t in scene.things if len(alike(scene, t.kind, t.colour)) == 1]


def ask_where(rng, scene, legible):
    if not (unique := unique_things(scene)):
        return None
    t = rng.choice(unique)
    name = the_thing(t, scene)
    return [("where", f"Where is {name}?", f"{capital(name)} is {PLACES[t.place]}.")]


def ask_relation(rng, scene, legible):
    """The nearest thing in the same row or column."""
    if not (unique := unique_things(scene)):
        return None
    t = rng.choice(unique)
    words, (dx, dy) = rng.choice(list(STEPS.items()))
    name, x, y = the_thing(t, scene), t.place % 3 + dx, t.place // 3 + dy
    while 0 <= x < 3 and 0 <= y < 3:
        if hit := [o for o in scene.things if o.place == 3 * y + x]:
            return [("relation", f"What is {words} {name}?", f"{capital(a_thing(hit[0]))} is {words} {name}.")]
        x, y = x + dx, y + dy
    return [("relation", f"What is {words} {name}?", f"Nothing is {words} {name}.")]


def ask_exist(rng, scene, legible):
    if rng.random() < 0.5:
        t = rng.choice(scene.things)
        kind, colour = t.kind, t.colour
    else:
        kind, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
    hit, noun = alike(scene, kind, colour), f"{article(colour)} {colour} {kind}"
    answer = f"Yes, there is {noun} {PLACES[hit[0].place]}." if hit else f"No, there is no {colour} {kind}."
    return [("exist", f"Is there {noun}?", answer)]


def ask_back(rng, scene, legible):
    question = rng.choice(("What colour is the background?", "Which colour is the background?"))
    return [("back", question, f"The background is {scene.background}.")]


def ask_at(rng, scene, legible):
    place = rng.choice(scene.things).place if rng.random() < 0.7 else rng.randrange(9)
    hit = [a_thing(t) for t in scene.things if t.place == place] or ["nothing"]
    return [("at", f"What is {PLACES[place]}?", f"{capital(hit[0])} is {PLACES[place]}.")]


def ask_sign(rng, scene, legible):
    if not scene.signs:
        question = rng.choice(("What does the sign say?", "Read the sign."))
        return [("sign", question, "There is no sign in the picture.")] if rng.random() < 0.25 else None
    t = rng.choice(scene.signs)
    name = the_thing(t, scene)
    answer = f'{capital(name)} says "{t.text}".' if legible else f"I cannot read {name}, the print is too small."
    return [("sign", rng.choice((f"What does {name} say?", f"Read {name}.", f"What is written on {name}?")), answer)]


def ask_describe(rng, scene, legible):
    question = rng.choice(("Describe the picture.", "What do you see?", "What is in the picture?"))
    return [("describe", question, told(scene, legible=legible))]


def ask_multi(rng, scene, legible):
    """A question and one that leans on it."""
    if not (unique := unique_things(scene)):
        return None
    t = rng.choice(unique)
    name = the_thing(t, scene)
    here, where = f"{capital(name)} is {PLACES[t.place]}.", f"Where is {name}?"
    if t.is_sign and rng.random() < 0.5:
        print_ = f'It says "{t.text}".' if legible else "I cannot read it, the print is too small."
        return [("where", where, here), ("multi", "And what does it say?", print_)]
    if name != f"the {t.kind}":
        return [("at", f"What is {PLACES[t.place]}?", f"{capital(a_thing(t))} is {PLACES[t.place]}."),
                ("multi", "Is there only one?", "Yes, there is only one.")]
    if rng.random() < 0.5:
        return [("colour", f"What colour is {name}?", f"{capital(name)} is {t.colour}."),
                ("multi", "And where is it?", f"It is {PLACES[t.place]}.")]
    return [("where", where, here), ("multi", "And which colour is it?", f"It is {t.colour}.")]


def wished(scene):
    return f"Here is your picture. <h>{caption(scene)}</h>"


def seen_in_training(scene):
    return not any(map(held_out, scene.things))


def random_shape(rng, place):
    return Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), place)


def ask_draw(rng, scene, legible):
    """A wish that starts from the picture. The scene wished for holds no held-out triple unless the picture does."""
    for _ in range(20):
        way, things, background = rng.random(), scene.shapes, scene.background
        single = [t for t in things if len(alike(Scene("", things), t.kind)) == 1]
        if way < 0.2:
            wish = rng.choice(("Draw this picture again.", "Draw the same picture."))
        elif way < 0.55 and single:
            t, colour = rng.choice(single), rng.choice(list(COLOURS))
            things = [replace(o, colour=colour) if o is t else o for o in things]
            wish = f"Draw the same but with {article(colour)} {colour} {t.kind}."
        elif 0.55 <= way < 0.7:
            background = rng.choice(list(BACKGROUNDS))
            wish = f"Draw the same on a {background} background."
        elif 0.7 <= way < 0.85 and single and len(things) > 1:
            t = rng.choice(single)
            things = [o for o in things if o is not t]
            wish = f"Draw the same without the {t.kind}."
        elif way >= 0.85:
            new = random_shape(rng, rng.choice([p for p in range(9) if p not in [o.place for o in things]]))
            things = sorted([*things, new], key=lambda o: o.place)
            wish = f"Draw the same and add {placed(new)}."
        else:
            continue
        result = Scene(background, things)
        if seen_in_training(result) or not seen_in_training(scene):
            return [("draw", wish + " <GEN>", wished(result))]
    return None


ASK = {kind: globals()[f"ask_{kind}"] for kind in KINDS}


def ask(rng, scene, kind, legible=True):
    """One question of a kind as a list of turns (follow-ups have two), or None where the scene does not allow it.
    legible=False: the print cannot be read, and the right answer says so."""
    return ASK[kind](rng, scene, legible)


def ask_balanced(rng, scene, weights, legible=True):
    """One question with kinds drawn by weight, and with the cheap answers held down: 'Nothing is …' at 30 %, no and yes at half,
    numbers about evenly, an empty place at 30 %."""
    kinds, shares = list(weights), list(weights.values())
    while True:
        kind, chance, number = rng.choices(kinds, shares)[0], rng.random(), NUMBERS[rng.choice((0, 1, 2, 2, 3, 4))]
        for _ in range(6):
            turns = ask(rng, scene, kind, legible)
            if turns is None:
                break
            answer = turns[0][2]
            if kind in ("relation", "at") and answer.startswith("Nothing") != (chance < 0.3):
                continue
            if kind == "exist" and answer.startswith("No") != (chance < 0.5):
                continue
            if kind == "count" and f" {number} " not in answer:
                continue
            break
        if turns:
            return turns


# --------------------------------------------------------------------------------------------------------- without a picture
def wish(rng):
    """A wish in words: [(kind, question, answer)], sometimes after a turn that it leans on. Held-out triples are never asked for."""
    while True:
        way, verb = rng.random(), rng.choice(VERBS)
        background = rng.choice(list(BACKGROUNDS)) if rng.random() < 0.4 else None
        tail, before = f" on a {background} background" if background else "", []
        if way < 0.25:
            things = [random_shape(rng, 4)]
            text = f"{verb} {a_thing(things[0])}"
        elif way < 0.5:
            things = [random_shape(rng, rng.randrange(9))]
            text = f"{verb} {placed(things[0])}"
        elif way < 0.75:
            words, (dx, dy) = rng.choice(list(STEPS.items()))
            things = [random_shape(rng, 4 + dx + 3 * dy), random_shape(rng, 4 - dx - 3 * dy)]
            text = f"{verb} {a_thing(things[0])} {words} {a_thing(things[1])}"
        elif way < 0.88:
            things = [random_shape(rng, p) for p in rng.sample(range(9), rng.randint(2, 4))]
            text = f"{verb} {listed([placed(t) for t in things])}"
        else:
            things = [random_shape(rng, 4)]
            t = things[0]
            if rng.random() < 0.5:
                before = [("talk", f"My favourite colour is {t.colour}.", f"{capital(t.colour)} is a nice colour.")]
                text = f"{verb} {article(t.kind)} {t.kind} in my favourite colour"
            else:
                before = [("talk", f"I like the {t.kind} best.", f"The {t.kind} is a nice shape.")]
                text = f"{verb} it in {t.colour}"
        scene = Scene(background or "white", sorted(things, key=lambda t: t.place))
        if seen_in_training(scene):
            return [*before, ("wish", f"{text}{tail}. <GEN>", wished(scene))]


def chat(rng):
    """A conversation without a picture: small talk, facts and wishes."""
    turns = []
    for _ in range(rng.randint(1, 5)):
        turns += [("talk", *rng.choice(FACTS))] if rng.random() < 0.35 else wish(rng)
    return turns[:6]
