"""Held-out pictures with one question each, as files: PNGs and conversation records in the format of the training data.

    python records.py OUT --pictures 300 [--first 900000] [--split train|comp] [--kinds back colour]

writes OUT/SEED.png and OUT/records.json, a list of {"id", "image", "kind", "conversations"}; follow-ups hold the turn before them.
`mgm eval` reads it, and so does `evaluate.py`.
"""
import argparse
import json
import random
from pathlib import Path

import grammar
import world

HELD_OUT = 900_000                             # the first seed that no training stream uses


def questions(seed, scene, kinds):
    """One question of each kind that the scene allows: [(kind as scored, turns)]."""
    rng = random.Random(f"questions {seed}")
    asked = [(kind, grammar.ask(rng, scene, kind)) for kind in grammar.KINDS]
    return [(scored_as(turns, scene), turns) for kind, turns in asked if turns and kind in kinds]


def scored_as(turns, scene):
    """The name that a question is counted under. What is right too often by chance is told apart: relations to nothing, and random
    print from the words of the lexicon."""
    kind, _, answer = turns[-1]
    if kind == "relation":
        return "relation-nothing" if answer.startswith("Nothing") else "relation"
    if kind == "sign":
        read = [t.text for t in scene.signs if f'"{t.text}"' in answer]
        return "sign-none" if not read else "sign-word" if read[0] in world.WORDS else "sign"
    return kind


def record(name, image, kind, turns):
    said = [dict(zip(("from", "value"), pair)) for _, q, a in turns for pair in (("human", q), ("gpt", a))]
    said[0]["value"] = "<image>\n" + said[0]["value"]
    return dict(id=name, image=image, kind=kind, conversations=said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--first", type=int, default=HELD_OUT, help="seed of the first picture")
    parser.add_argument("--split", choices=("train", "comp", "any"), default="train",
                        help="comp: at least one (colour, shape, place) in each picture that training never showed")
    parser.add_argument("--kinds", nargs="+", choices=grammar.KINDS, default=grammar.KINDS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    records = []
    for seed in range(given.first, given.first + given.pictures):
        image, scene = world.picture(seed, given.split)
        image.save(given.out / f"{seed}.png")
        for kind, turns in questions(seed, scene, given.kinds):
            records.append(record(f"{seed}-{kind}", f"{seed}.png", kind, turns))
    (given.out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    print(f"{given.out}: {given.pictures} pictures, {len(records)} questions")


if __name__ == "__main__":
    main()
