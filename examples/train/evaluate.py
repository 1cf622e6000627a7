"""Share of exact answers by kind of an exported folder, greedy, in f32, on records with pictures as `records.py` writes them.

    python evaluate.py ../mgm-tiny RECORDS_FOLDER [--no-mining] [--blur-aux] [--wrong N]

Everything comes from files: the weights from the folder, the pixels from the PNGs, the questions and right answers from records.json.
Earlier turns are given as recorded; the last one is answered.
"""
import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from PIL import Image

import data
import folder
from network import normalised
from tokenizer import EOS, Tokenizer


@torch.no_grad()
def answer(network, seen, before, after, limit=96):
    """Greedy ids after the ids `before`, the image rows `seen` [tokens, H] and the ids `after`, without </s>."""
    embed, layers = network.model.embed_tokens, network.model.layers
    new, past, at = [], [None] * len(layers), 0
    x = torch.cat((embed(torch.tensor(before)), seen, embed(torch.tensor(after))))[None]
    while len(new) < limit:
        cos, sin = network.cos[at:at + x.shape[1]], network.sin[at:at + x.shape[1]]
        mask = torch.zeros(1, 1, 1, at + 1) if at else None
        for i, layer in enumerate(layers):
            x, past[i] = layer(x, cos, sin, past[i], mask)
        at = past[0][0].shape[2]
        best = int(network.lm_head(network.model.norm(x[0, -1])).argmax())
        if best == EOS:
            break
        new.append(best)
        x = embed(torch.tensor([[best]]))
    return new


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("records", type=Path)
    parser.add_argument("--no-mining", action="store_true", help="the mining term zeroed")
    parser.add_argument("--blur-aux", action="store_true", help="the picture reduced to what 32 pixels hold")
    parser.add_argument("--wrong", type=int, default=0, help="print up to N wrong answers of each kind")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, network = Tokenizer(given.model / "tokenizer.model"), folder.read(given.model)
    score, head, seen = defaultdict(lambda: [0, 0]), tokenizer.head(True), {}
    for record in json.loads((given.records / "records.json").read_text()):
        name = record["image"]
        if name not in seen:
            image = Image.open(given.records / name).convert("RGB")
            if image.width != image.height:
                raise ValueError(f"{name}: {image.width}x{image.height}, only square pictures are made here")
            images = normalised(data.pixels(image, given.blur_aux)[None])
            with torch.no_grad():
                seen = {name: network.model.mm_projector(network.see(images, torch.tensor([given.no_mining])))[0]}
        said = [turn["value"] for turn in record["conversations"]]
        said[0] = said[0].removeprefix("<image>\n")
        turns = [("", q, a) for q, a in zip(said[::2], said[1::2])]
        ids, owner = tokenizer.turns(turns, True)
        got = tokenizer.text(answer(network, seen[name], head, ids[:owner.index(len(turns))]))
        kind = record["kind"]
        score[kind][0] += got == said[-1]
        score[kind][1] += 1
        if got != said[-1] and score[kind][1] - score[kind][0] <= given.wrong:
            print(f"{record['id']}: {said[-2]}\n  right {said[-1]}\n  given {got}")
    print("| kind | exact | of | share |\n|---|---|---|---|")
    for kind, (exact, asked) in sorted(score.items()):
        print(f"| {kind} | {exact} | {asked} | {100 * exact / asked:.1f} % |")


if __name__ == "__main__":
    main()
