"""The world of MGM-Tiny: coloured shapes on a 3x3 layout and signs with fine print, drawn with Pillow.

A scene is data; `render` draws it as a square picture of 256 pixels and notes each thing's box in it. Everything is drawn from the
random generator that is passed in, so a seed gives the scene and the picture.
"""
import math
import random
from dataclasses import dataclass, field, replace

from PIL import Image, ImageDraw

SIDE = 256                                     # pixels of the picture file
UNIT = SIDE / 320                              # the sizes below are told in 320ths of the side
COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 90, 220),
           "yellow": (240, 210, 40), "purple": (140, 60, 170), "orange": (245, 140, 30)}
BACKGROUNDS = {"white": (250, 250, 250), "grey": (170, 170, 170), "black": (25, 25, 25)}
PLATES = {"white": (255, 255, 255), **{c: COLOURS[c] for c in ("yellow", "green", "blue", "red")}}
SHAPES = ["circle", "square", "triangle", "star", "cross", "ring"]
PLACES = ["in the top left", "at the top", "in the top right", "on the left", "in the middle", "on the right",
          "in the bottom left", "at the bottom", "in the bottom right"]
WORDS = ("SHUT BANK CAFE FARM GATE PARK ZEBRA HELP FAST EAST WEST BUS TRAM HUT LAKE PATH TREE CUP SALE FREE PLAY QUAY YARD").split()

# Rows of the 5x7 dot font, top to bottom; the low five bits of a number are the dots of a row, left to right.
FONT = {
    "A": (14, 17, 17, 31, 17, 17, 17), "B": (30, 17, 17, 30, 17, 17, 30), "C": (15, 16, 16, 16, 16, 16, 15),
    "D": (30, 17, 17, 17, 17, 17, 30), "E": (31, 16, 16, 30, 16, 16, 31), "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (15, 16, 16, 19, 17, 17, 15), "H": (17, 17, 17, 31, 17, 17, 17), "J": (7, 2, 2, 2, 2, 18, 12),
    "K": (17, 18, 20, 24, 20, 18, 17), "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17),
    "N": (17, 25, 21, 21, 19, 17, 17), "P": (30, 17, 17, 30, 16, 16, 16), "Q": (14, 17, 17, 17, 21, 18, 13),
    "R": (30, 17, 17, 30, 20, 18, 17), "S": (15, 16, 16, 14, 1, 1, 30), "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14), "V": (17, 17, 17, 17, 17, 10, 4), "W": (17, 17, 17, 21, 21, 27, 17),
    "X": (17, 17, 10, 4, 10, 17, 17), "Y": (17, 17, 10, 4, 4, 4, 4), "Z": (31, 1, 2, 4, 8, 16, 31),
    "2": (14, 17, 1, 6, 8, 16, 31), "3": (30, 1, 1, 14, 1, 1, 30), "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14), "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14), "9": (14, 17, 17, 15, 1, 2, 12)}
LETTERS = "".join(FONT)                        # 32 characters: no I, O, 0, 1


@dataclass(frozen=True)
class Thing:
    """A shape or a sign at one of the nine places. `box` (left, top, right, bottom, in sides of the picture) is known once drawn."""
    kind: str
    colour: str
    place: int
    text: str = ""
    box: tuple = ()

    @property
    def is_sign(self):
        return self.kind == "sign"


@dataclass
class Scene:
    background: str
    things: list = field(default_factory=list)          # in reading order of their places

    @property
    def shapes(self):
        return [t for t in self.things if not t.is_sign]

    @property
    def signs(self):
        return [t for t in self.things if t.is_sign]


def held_out(thing):
    """True for the one (colour, shape, place) in eleven that no training picture and no training text holds."""
    if thing.is_sign:
        return False
    return (7 * list(COLOURS).index(thing.colour) + 5 * SHAPES.index(thing.kind) + 3 * thing.place) % 11 == 0


def sign_text(rng, word_share):
    """A sign's print: with probability word_share one of the short words, else 3 to 5 random characters."""
    return rng.choice(WORDS) if rng.random() < word_share else "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 5)))


def sample_scene(rng, split="train", crowded=False, word_share=0.25):
    """A random scene.

    split "train" holds none of the held-out triples, "comp" at least one, "any" whatever comes.
    An ordinary scene has 1 to 4 shapes (a quarter are copies of another one's colour and form) and 0, 1 or 2 signs (15, 60, 25 %);
    a crowded one has 2 to 4 shapes and 3 to 5 signs, which teaches the eyes more at the same cost.
    """
    while True:
        shapes, signs = rng.randint(1, 4), rng.choices((0, 1, 2), (0.15, 0.6, 0.25))[0]
        if crowded:
            shapes, signs = rng.randint(2, 4), rng.randint(3, 5)
        places, things = rng.sample(range(9), shapes + signs), []
        for place in places[:shapes]:
            if things and rng.random() < 0.25:
                things.append(replace(rng.choice(things), place=place))
            else:
                things.append(Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), place))
        unseen = any(map(held_out, things))
        if split != "any" and unseen != (split == "comp"):
            continue
        for place, colour in zip(places[shapes:], rng.sample(list(PLATES), signs)):
            things.append(Thing("sign", colour, place, sign_text(rng, word_share)))
        return Scene(rng.choice(list(BACKGROUNDS)), sorted(things, key=lambda t: t.place))


def jittered(rng, colour, amount=10):
    return tuple(max(0, min(255, v + rng.randint(-amount, amount))) for v in colour)


def draw_shape(canvas, kind, x, y, r, ink, ground):
    """Fills a shape of radius r around (x, y), in pixels; `ground` fills the ring's hole."""
    if kind == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    elif kind == "square":
        h = 0.88 * r
        canvas.rectangle((x - h, y - h, x + h, y + h), fill=ink)
    elif kind == "triangle":
        canvas.polygon([(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)], fill=ink)
    elif kind == "star":
        radii = [1.15 * r * (1 if k % 2 == 0 else 0.42) for k in range(10)]
        canvas.polygon([(x + q * math.sin(math.pi * k / 5), y - q * math.cos(math.pi * k / 5)) for k, q in enumerate(radii)], fill=ink)
    elif kind == "cross":
        w = 0.34 * r
        canvas.rectangle((x - r, y - w, x + r, y + w), fill=ink)
        canvas.rectangle((x - w, y - r, x + w, y + r), fill=ink)
    elif kind == "ring":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=ink)
        q = 0.55 * r
        canvas.ellipse((x - q, y - q, x + q, y + q), fill=ground)
    else:
        raise ValueError(f"no shape is called {kind!r}; known are {', '.join(SHAPES)}")


def print_size(text):
    """Width and height of a sign's plate in pixels of the file; a dot of the font is 2x2."""
    return (6 * len(text) + 5) * 2, 13 * 2


def draw_sign(canvas, rng, colour, text, left, top):
    """A plate with a frame, and dark print on white and yellow, light print on the others."""
    width, height = print_size(text)
    ink = (20, 20, 20) if colour in ("white", "yellow") else (250, 250, 250)
    canvas.rectangle((left, top, left + width - 1, top + height - 1), fill=jittered(rng, PLATES[colour]), outline=ink, width=2)
    for i, letter in enumerate(text):
        for row, dots in enumerate(FONT[letter]):
            for column in range(5):
                if dots >> (4 - column) & 1:
                    x, y = left + 2 * (3 + 6 * i + column), top + 2 * (3 + row)
                    canvas.rectangle((x, y, x + 1, y + 1), fill=ink)


def render(scene, rng):
    """The picture of a scene, and the scene again with the boxes filled in. Sizes, positions and colours jitter."""
    ground = jittered(rng, BACKGROUNDS[scene.background])
    image = Image.new("RGB", (SIDE, SIDE), ground)
    canvas, drawn = ImageDraw.Draw(image), []
    for thing in scene.things:
        x, y = (thing.place % 3 + 0.5) * SIDE / 3, (thing.place // 3 + 0.5) * SIDE / 3
        if thing.is_sign:
            width, height = print_size(thing.text)
            free = min(14 * UNIT, SIDE / 6 - width / 2 - 1)
            left = int(x - width / 2 + rng.uniform(-free, free))
            top = int(y - height / 2 + rng.uniform(-20 * UNIT, 20 * UNIT))
            draw_sign(canvas, rng, thing.colour, thing.text, left, top)
            box = (left, top, left + width, top + height)
        else:
            r = rng.uniform(26, 40) * UNIT
            free = min(12 * UNIT, SIDE / 6 - r - 2 * UNIT)
            x, y = x + rng.uniform(-free, free), y + rng.uniform(-free, free)
            draw_shape(canvas, thing.kind, x, y, r, jittered(rng, COLOURS[thing.colour]), ground)
            box = (x - r, y - r, x + r, y + r)
        drawn.append(replace(thing, box=tuple(v / SIDE for v in box)))
    return image, Scene(scene.background, drawn)


def picture(seed, split="train"):
    """The picture and scene of one seed: the same pair on every machine with the same Pillow."""
    rng = random.Random(seed)
    return render(sample_scene(rng, split), rng)
