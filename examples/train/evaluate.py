"""Share of exact answers by kind of an exported folder, greedy, in f32, on records with pictures as `records.py` writes them.

    python evaluate.py ../mgm-tiny RECORDS_FOLDER [--no-mining] [--blur-aux] [--decode] [--wrong N]

Everything comes from files: the weights from the folder, the pixels from the PNGs, the questions and right answers from records.json.
Earlier turns are given as recorded; the last one is answered. An answer counts when each of its ids and </s> is the likeliest after the
right ones before it, which is when greedy decoding gives it; --decode decodes id by id instead, which is slow.
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


def pixels_of(path, blur):
    image = Image.open(path).convert("RGB")
    if image.width != image.height:
        raise ValueError(f"{path}: {image.width}x{image.height}, only square pictures are made here")
    return normalised(data.pixels(image, blur)[None])


def turns_of(record):
    said = [turn["value"] for turn in record["conversations"]]
    said[0] = said[0].removeprefix("<image>\n")
    return [(record["kind"], q, a) for q, a in zip(said[::2], said[1::2])]


@torch.no_grad()
def answered(network, tokenizer, images, conversations, drop, decode):
    """For each conversation about one picture whether its last answer is right, and with `decode` what was said."""
    seen = network.model.mm_projector(network.see(images, torch.tensor([drop])))
    if not decode:
        packed = data.Packed(tokenizer, [conversations], True, only_last=True)
        return [(right, "") for _, right in sorted(data.judge(network, torch.tensor(tokenizer.head(True)), packed, seen)[1].items())]
    out = []
    for turns in conversations:
        ids, owner = tokenizer.turns(turns, True)
        said = tokenizer.text(answer(network, seen[0], tokenizer.head(True), ids[:owner.index(len(turns))]))
        out.append((said == turns[-1][2], said))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("records", type=Path)
    parser.add_argument("--no-mining", action="store_true", help="the mining term zeroed")
    parser.add_argument("--blur-aux", action="store_true", help="the picture reduced to what 32 pixels hold")
    parser.add_argument("--decode", action="store_true", help="decode id by id")
    parser.add_argument("--wrong", type=int, default=0, help="print up to N wrong answers of each kind (with --decode)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, network = Tokenizer(given.model / "tokenizer.model"), folder.read(given.model)
    score, by_picture = defaultdict(lambda: [0, 0]), defaultdict(list)
    for record in json.loads((given.records / "records.json").read_text()):
        by_picture[record["image"]].append(record)
    for name, about in by_picture.items():
        conversations, images = [turns_of(record) for record in about], pixels_of(given.records / name, given.blur_aux)
        for record, (right, said) in zip(about, answered(network, tokenizer, images, conversations, given.no_mining, given.decode)):
            exact = score[record["kind"]]
            exact[0] += right
            exact[1] += 1
            if given.decode and not right and exact[1] - exact[0] <= given.wrong:
                _, question, wanted = turns_of(record)[-1]
                print(f"{record['id']}: {question}\n  right {wanted}\n  given {said}")
    print("| kind | exact | of | share |\n|---|---|---|---|")
    for kind, (exact, asked) in sorted(score.items()):
        print(f"| {kind} | {exact} | {asked} | {100 * exact / asked:.1f} % |")


if __name__ == "__main__":
    main()
