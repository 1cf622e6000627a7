"""Stage 7: the generator's text encoder learns captions alone, before any picture is drawn.

    python captions.py --out captions.state --minutes 6

It is asked at the last word of each thing's place for that thing, and at the end of the caption for the whole layout; so the UNet finds
ready slots to look at. Captions are those of `grammar.caption` and of wishes; held-out triples never occur.
"""
import argparse
import random
from collections import Counter
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

import grammar
from painter import PainterSizes, TextEncoder
from states import Stage, common, guarded, learn
from world import BACKGROUNDS, COLOURS, PLACES, SHAPES, Scene, held_out

WORDS = sorted({w for p in PLACES for w in p.split()} | {*SHAPES, *COLOURS, *BACKGROUNDS, "a", "an", "and", "on", "background", "nothing"})
START, END = "<|startoftext|>", "<|endoftext|>"
KINDS, HUES, GROUNDS = ["nothing", *SHAPES], ["nothing", *COLOURS], list(BACKGROUNDS)


def byte_letters():
    """CLIP's letters for the 256 bytes, in the order of its vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in plain] + [chr(256 + n) for n in range(256 - len(plain))]


def learn_merges():
    """Pairs to merge, in order, until each word of the captions is one piece; the most frequent pair first, then by alphabet."""
    words, merges = [[*w[:-1], w[-1] + "</w>"] for w in WORDS], []
    while pairs := Counter(pair for w in words for pair in zip(w, w[1:])):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for w in words:
            merge(w, best)
    return merges


def merge(word, pair):
    """Joins each occurrence of a pair in a list of pieces, in place."""
    i = 0
    while i + 1 < len(word):
        if (word[i], word[i + 1]) == pair:
            word[i:i + 2] = ["".join(pair)]
        i += 1


class CaptionTokenizer:
    """CLIP's byte pairs with merges for the words of captions only; any other text falls into smaller pieces."""

    def __init__(self):
        self.merges = learn_merges()
        letters = byte_letters()
        pieces = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in self.merges), START, END]
        self.vocabulary = {piece: i for i, piece in enumerate(pieces)}
        self.words = {}

    def word(self, word):
        if word not in self.words:
            pieces = [*word[:-1], word[-1] + "</w>"]
            for pair in self.merges:
                merge(pieces, pair)
            self.words[word] = [self.vocabulary[p] for p in pieces]
        return self.words[word]

    def ids(self, text, length):
        """Ids of lower-case words and commas with start and end, padded with the end to `length` as CLIP's are."""
        inner = [i for w in text.replace(",", " ,").split() for i in self.word(w)][:length - 2]
        return [self.vocabulary[START], *inner] + [self.vocabulary[END]] * (length - 1 - len(inner))


def random_scene(rng, most=4, split="train"):
    """A scene of shapes alone, as the painter is asked for: 1 to `most` of them, one in eight with a copy. split "train" holds no
    held-out triple, "comp" at least one."""
    while True:
        places = sorted(rng.sample(range(9), rng.randint(1, most)))
        things = [grammar.random_shape(rng, place) for place in places]
        if len(things) > 1 and rng.random() < 0.125:
            things[-1] = replace(things[0], place=things[-1].place)
        if any(map(held_out, things)) == (split == "comp"):
            return Scene(rng.choice(GROUNDS), things)


def layout(scene):
    """Kind and hue of each of the nine places (0: nothing), and the ground: [9], [9], number."""
    kinds, hues = [0] * 9, [0] * 9
    for t in scene.things:
        kinds[t.place], hues[t.place] = KINDS.index(t.kind), HUES.index(t.colour)
    return kinds, hues, GROUNDS.index(scene.background)


def slots(scene, tokenizer):
    """The positions of the last words of the things' places in the caption's ids, in reading order."""
    at, out = 0, []
    for i, t in enumerate(scene.things):
        at += (i > 0) + sum(len(tokenizer.word(w)) for w in grammar.placed(t).split())               # a comma or "and" before each
        out.append(at)
    return out


class Asked(nn.Module):
    """Linear questions to the states: a thing at the last word of its place; the layout at the end."""

    def __init__(self, width):
        super().__init__()
        self.thing = nn.Linear(width, len(KINDS) + len(HUES) + len(PLACES))
        self.whole = nn.Linear(width, 9 * (len(KINDS) + len(HUES)) + len(GROUNDS))

    def layout(self, states):
        """[N, width] -> logits of kinds [N, 9, 7], hues [N, 9, 7], ground [N, 3]."""
        kinds, hues, ground = self.whole(states).split((9 * len(KINDS), 9 * len(HUES), len(GROUNDS)), -1)
        return kinds.unflatten(-1, (9, -1)), hues.unflatten(-1, (9, -1)), ground


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 6, 2e-3)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    sizes, tokenizer = PainterSizes(), CaptionTokenizer()
    network, asked = TextEncoder(sizes, len(tokenizer.vocabulary)), Asked(sizes.text_width)
    trained = [*network.parameters(), *asked.parameters()]
    stage = Stage("captions", given, dict(network=network, asked=asked), torch.optim.AdamW(trained, lr=given.rate, betas=(0.9, 0.98)))
    rng = random.Random(stage.seed())
    for _ in stage.steps():
        scenes = [random_scene(rng) for _ in range(given.batch)]
        texts = [grammar.caption(s) for s in scenes]
        ids = torch.tensor([tokenizer.ids(t, sizes.words) for t in texts])
        ends = (ids == tokenizer.vocabulary[END]).int().argmax(1)
        states = network(ids[:, :int(ends.max()) + 1])                                    # causal: the padding behind changes nothing
        at = [(n, p) for n, s in enumerate(scenes) for p in slots(s, tokenizer)]
        rows, columns = torch.tensor(at).T
        things = [t for s in scenes for t in s.things]
        parts = asked.thing(states[rows, columns]).split((len(KINDS), len(HUES), len(PLACES)), -1)
        wanted = [torch.tensor(w) for w in ([KINDS.index(t.kind) for t in things], [HUES.index(t.colour) for t in things],
                                            [t.place for t in things])]
        loss = sum(F.cross_entropy(p, w) for p, w in zip(parts, wanted))
        layouts = asked.layout(states[torch.arange(len(scenes)), ends])
        truth = [torch.tensor(x) for x in zip(*map(layout, scenes))]
        loss = loss + sum(F.cross_entropy(p.flatten(0, -2), w.flatten()) for p, w in zip(layouts, truth))
        learn(stage.optimizer, loss, trained)
        thing = torch.stack([p.argmax(-1) == w for p, w in zip(parts, wanted)]).all(0)
        whole = torch.cat([(p.argmax(-1) == w).reshape(len(w), -1) for p, w in zip(layouts, truth)], 1)
        stage.note(loss=loss.item(), thing=thing.float().mean().item(), layout=whole.all(1).float().mean().item())


if __name__ == "__main__":
    guarded(main)
