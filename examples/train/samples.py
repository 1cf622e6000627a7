"""The pictures in `examples/pictures` with their questions and right answers.

    python samples.py ../pictures --kinds back colour where exist at

They are the first of the held-out seeds from 950 000 on that show two shapes or more, each of another kind, and one sign; whether the
model answers them rightly plays no part. questions.json is a list of {"picture", "kind", "question", "answer"}.
"""
import argparse
import json
import random
from pathlib import Path

import grammar
import world


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--kinds", nargs="+", choices=grammar.KINDS, default=["back", "colour", "where", "exist", "at"])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    asked, seed, made = [], 950_000, 0
    while made < given.count:
        image, scene = world.picture(seed)
        rng, seed = random.Random(f"samples {seed}"), seed + 1
        names = {t.kind for t in scene.things}
        if len(scene.signs) != 1 or len(scene.shapes) < 2 or len(names) != len(scene.things):
            continue
        made += 1
        name = f"scene_{made}.png"
        image.save(given.out / name, optimize=True)
        for kind in given.kinds:
            (_, question, answer), = grammar.ask(rng, scene, kind)
            asked.append(dict(picture=name, kind=kind, question=question, answer=answer))
    lines = ",\n ".join(json.dumps(one) for one in asked)
    (given.out / "questions.json").write_text(f"[{lines}]\n")
    print(f"{given.out}: {made} pictures, {len(asked)} questions")


if __name__ == "__main__":
    main()
