"""What each image token should know, the heads that ask for it, and the words that the projector should say it in.

A token covers 1/8 of the picture's side, a cell of ConvNeXt's first stage 1/32.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from world import BACKGROUNDS, COLOURS, LETTERS, PLACES, SHAPES

GRID, CELLS = 8, 32
KINDS = ["none", *SHAPES, "sign"]
HUES = ["none", *COLOURS, "white"]
CODE = {letter: i + 1 for i, letter in enumerate(LETTERS)}                # 0: no character
CODES, INDICES, LONGEST = len(LETTERS) + 1, 6, 5
GROUNDS = list(BACKGROUNDS)


def token_labels(scene):
    """Of one drawn scene: kind, hue, place [64] (0 where a token shows no thing), letter and index [64, 3] of the characters whose
    centres lie in the token, by thirds of its width (index in the word from 1), and the letter under each cell [32, 32]."""
    kind, hue, place = (np.zeros((GRID, GRID), np.int64) for _ in range(3))
    letter, index = (np.zeros((GRID, GRID, 3), np.int64) for _ in range(2))
    cell = np.zeros((CELLS, CELLS), np.int64)
    for thing in scene.things:
        left, top, right, bottom = (v * GRID for v in thing.box)
        for y in range(int(top), min(GRID - 1, int(bottom)) + 1):
            for x in range(int(left), min(GRID - 1, int(right)) + 1):
                covered = (min(right, x + 1) - max(left, x)) * (min(bottom, y + 1) - max(top, y))
                if covered >= (0.08 if thing.is_sign else 0.5):
                    kind[y, x], hue[y, x] = KINDS.index(thing.kind), HUES.index(thing.colour)
                    place[y, x] = 1 + thing.place
        if thing.is_sign:
            dot = (right - left) / (6 * len(thing.text) + 5)                # in tokens
            middle = min(GRID - 1, int(top + 6.5 * dot))
            for i, c in enumerate(thing.text):
                x = left + (5.5 + 6 * i) * dot
                at = middle, min(GRID - 1, int(x)), int(x % 1 * 3)
                letter[at], index[at] = CODE[c], i + 1
            centre = (np.arange(CELLS) + 0.5) / CELLS * GRID
            which = np.floor((centre - left - 2.5 * dot) / (6 * dot)).astype(int)
            for y in np.nonzero((centre > top + 2 * dot) & (centre < bottom - 2 * dot))[0]:
                for x in np.nonzero((which >= 0) & (which < len(thing.text)))[0]:
                    cell[y, x] = CODE[thing.text[which[x]]]
    return kind.ravel(), hue.ravel(), place.ravel(), letter.reshape(-1, 3), index.reshape(-1, 3), cell


class Labels:
    """The labels of a batch of scenes. `spelled` [N, 64, 5] is the letter of index i in the word, where the token holds it."""

    def __init__(self, scenes):
        stacked = [torch.from_numpy(np.stack(one)) for one in zip(*map(token_labels, scenes))]
        self.kind, self.hue, self.place, self.letter, self.index, self.cell = stacked
        self.ground = torch.tensor([GROUNDS.index(s.background) for s in scenes])
        self.spelled = torch.stack([(self.letter * (self.index == i + 1)).sum(-1) for i in range(LONGEST)], -1)


def cross_entropy(logits, target):
    return F.cross_entropy(logits.flatten(0, -2), target.flatten())


class Heads(nn.Module):
    """Linear questions to the tokens T = C + M, and print to the cells; used in training only."""

    def __init__(self, sizes):
        super().__init__()
        width, fine = sizes.width, sum(sizes.widths)
        self.kind, self.hue, self.place = nn.Linear(width, len(KINDS)), nn.Linear(width, len(HUES)), nn.Linear(width, 1 + len(PLACES))
        self.ground, self.position = nn.Linear(width, len(GROUNDS)), nn.Linear(width, GRID ** 2)
        self.text = nn.Linear(width, 3 * (CODES + INDICES))
        self.cell = nn.Sequential(nn.LayerNorm(fine), nn.Linear(fine, CODES))

    def loss(self, tokens, fine, labels, readable, sharp):
        """readable [N]: the tokens can hold print; sharp [N]: the cells can. -> loss, figures for the progress line."""
        loss = sum(cross_entropy(getattr(self, k)(tokens), getattr(labels, k)) for k in ("kind", "hue", "place"))
        loss = loss + 0.3 * F.cross_entropy(self.ground(tokens.mean(1)), labels.ground)
        loss = loss + 0.1 * cross_entropy(self.position(tokens), torch.arange(GRID ** 2).expand(len(tokens), -1))
        asked = ((labels.letter > 0).any(-1) | (torch.rand(labels.letter.shape[:2]) < 0.15)) & readable[:, None]
        text, letter = self.text(tokens[asked]).unflatten(-1, (3, -1)), labels.letter[asked]
        loss = loss + cross_entropy(text[..., :CODES], letter) + 0.3 * cross_entropy(text[..., CODES:], labels.index[asked])
        asked = ((labels.cell > 0) | (torch.rand(labels.cell.shape) < 0.03)) & sharp[:, None, None]
        cells = self.cell(fine.permute(0, 2, 3, 1)[asked])
        loss = loss + 0.5 * cross_entropy(cells, labels.cell[asked])
        with torch.no_grad():
            thing = labels.kind > 0
            right = {k: (getattr(self, k)(tokens[thing]).argmax(-1) == getattr(labels, k)[thing]) for k in ("kind", "hue", "place")}
            right["letter"] = (text[..., :CODES].argmax(-1) == letter)[letter > 0]
            return loss, {k: v.float().mean().item() for k, v in right.items() if len(v)}


class Words(nn.Module):
    """The projector's targets: each token as a sum of word embeddings, so that the decoder can look a picture up like a text.

    A thing's token is kind + hue + the words of its place; an empty one is "background" + its colour. The character of index i is
    added turned by a fixed rotation of its own, which keeps the order of the word; `spell` reads it back.
    """

    def __init__(self, embeddings, tokenizer):
        super().__init__()
        width, generator = embeddings.shape[1], torch.Generator().manual_seed(1)

        def total(*words):
            return sum((embeddings[tokenizer.ids(" " + w)].sum(0) for w in words), torch.zeros(width))

        nouns = torch.stack([total("background"), *(total(k) for k in KINDS[1:])])
        hues = torch.stack([torch.zeros(width), *(total(c) for c in HUES[1:])])
        places = torch.stack([torch.zeros(width), *(total(*(w for w in p.split() if w not in ("in", "at", "on", "the"))) for p in PLACES)])
        letters = torch.stack([torch.zeros(width), *(embeddings[tokenizer.ids(c)[-1]] for c in LETTERS)])
        turns = [torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(LONGEST)]
        for name, table in dict(nouns=nouns, hues=hues, places=places, grounds=torch.stack([total(b) for b in GROUNDS]),
                                print_=torch.stack([0.7 * letters @ r for r in turns])).items():
            self.register_buffer(name, table)
        self.spell = nn.Linear(width, LONGEST * CODES)
        with torch.no_grad():
            self.spell.weight.copy_(self.print_.flatten(0, 1))
            self.spell.bias.zero_()

    def targets(self, labels, readable):
        """-> targets [N, 64, H], spelled [N, 64, 5] with the letters of pictures that cannot be read taken out."""
        spelled = labels.spelled * readable[:, None, None]
        y = self.nouns[labels.kind] + self.hues[labels.hue] + self.places[labels.place]
        y = y + (labels.kind == 0)[..., None] * self.grounds[labels.ground][:, None]
        return y + sum(self.print_[i][spelled[..., i]] for i in range(LONGEST)), spelled

    def letters(self, projected):
        """Logits [..., 5, 33] of the letter of each index."""
        return self.spell(projected).unflatten(-1, (LONGEST, CODES))


def words_read(letters, labels, scene, n):
    """The print of each sign of scene n as the argmax `letters` [64, 5] of its tokens spell it: [(thing, text)]."""
    out = []
    for thing in scene.signs:
        mine = (labels.kind[n] == KINDS.index("sign")) & (labels.place[n] == thing.place + 1)
        codes = letters[mine].max(0).values.tolist() if mine.any() else []
        out.append((thing, "".join(LETTERS[c - 1] for c in codes if c)))
    return out
