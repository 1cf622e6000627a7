#!/usr/bin/env python3
"""Scenes, questions and talk of MGM-Tiny's world as the trainer's own code makes them: tests/data/world.txt.

    make_world_goldens.py > ../data/world.txt

A line "SHA-256 over FIRST … of SPLIT" covers many seeds; before it stand the texts of the first few, to be read when it differs.
"""
import hashlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "train"))
import data  # noqa: E402
import grammar  # noqa: E402
import world  # noqa: E402

SHOWN, MANY = 3, 300


def texts(first, split):
    for seed in range(first, first + MANY):
        rng = random.Random(seed)
        lines = [f"{seed} {split}", grammar.told(world.sample_scene(rng, split, crowded=seed % 7 == 0))]
        scene = world.sample_scene(random.Random(seed), split)
        rng = random.Random((1 << 32) + seed)
        for kind in grammar.KINDS:
            for _, question, answer in grammar.ask(rng, scene, kind, legible=seed % 5 > 0) or []:
                lines.append(f"{question} | {answer}")
        for _ in range(4):
            for kind, question, answer in grammar.ask_balanced(rng, scene, data.KIND_WEIGHTS):
                lines.append(f"{kind}: {question} | {answer}")
        for kind, question, answer in grammar.chat(random.Random((2 << 32) + seed)):
            lines.append(f"{kind}: {question} | {answer}")
        yield "".join(line + "\n" for line in lines)


for first, split in ((0, "train"), (900_000, "train"), (910_000, "comp"), (5_000_000_000, "any")):
    digest = hashlib.sha256()
    for i, text in enumerate(texts(first, split)):
        digest.update(text.encode())
        if i < SHOWN:
            print(text, end="")
    print(f"{digest.hexdigest()} over {first} … of {split}")
