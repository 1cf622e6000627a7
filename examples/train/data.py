"""Batches for the decoder: conversations about pictures packed side by side, and conversations without a picture."""
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import grammar
import world
from network import normalised

KIND_WEIGHTS = dict(back=0.7, colour=2, where=2, exist=2, count=5, at=2, relation=5, multi=2, describe=1.5, draw=1.5, sign=6)


def pixels(image, blur=False, side=128):
    """A picture as the model takes it: bicubic to `side`, uint8 [3, side, side]. blur: only what a picture of 32 pixels holds."""
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    if blur:
        image = image.resize((32, 32), Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def pictures(rng, count, crowded=0.0, word_share=0.05, blur=0.05, drop=0.07):
    """Fresh training pictures: scenes, normalised pixels [N, 3, side, side], mined [N] (false: the mining term is left out),
    sharp [N] (false: the picture is blurred). Print is legible where both are true."""
    scenes, images, mined, sharp = [], [], [], []
    for _ in range(count):
        scene = world.sample_scene(rng, crowded=rng.random() < crowded, word_share=word_share)
        image, scene = world.render(scene, rng)
        chance = rng.random()
        scenes.append(scene)
        sharp.append(chance >= blur)
        mined.append(not blur <= chance < blur + drop)
        images.append(pixels(image, chance < blur))
    return scenes, normalised(torch.stack(images)), torch.tensor(mined), torch.tensor(sharp)


class Memory:
    """Scenes with the tokens that frozen eyes made of them. Seeing costs as much as a dozen questions, so pictures are asked about
    again, each time something else; new ones replace the oldest."""

    def __init__(self, network, capacity=40_000, crowded=0.0):
        self.network, self.capacity, self.crowded, self.scenes, self.legible, self.next = network, capacity, crowded, [], [], 0
        s = network.sizes
        self.tokens = torch.zeros(capacity, s.tokens ** 2, s.width, dtype=torch.float16)

    @torch.no_grad()
    def see(self, rng, count):
        scenes, images, mined, sharp = pictures(rng, count, crowded=self.crowded)
        tokens = self.network.see(images, ~mined)
        for scene, token, legible in zip(scenes, tokens.half(), (mined & sharp).tolist()):
            if len(self.scenes) < self.capacity:
                self.scenes.append(None)
                self.legible.append(None)
            self.scenes[self.next], self.legible[self.next], self.tokens[self.next] = scene, legible, token
            self.next = (self.next + 1) % self.capacity

    def draw(self, rng, count):
        chosen = [rng.randrange(len(self.scenes)) for _ in range(count)]
        return [self.scenes[i] for i in chosen], [self.legible[i] for i in chosen], self.tokens[chosen].float()


class Packed:
    """Several conversations a row, none of which sees another: ids, owner (number of the turn, 0 unsupervised), block, position [N, T]
    and the kind of each turn. A row of `conversations` is a list of conversations."""

    def __init__(self, tokenizer, conversations, with_image, only_last=False):
        rows, self.rows, self.kinds = [], conversations, []
        for row in conversations:
            ids, owner, block, position = [], [], [], []
            for number, turns in enumerate(row):
                piece, whose = tokenizer.turns(turns, with_image)
                shift = len(self.kinds)
                owner += [w + shift if w and not (only_last and w < len(turns)) else 0 for w in whose]
                ids, block, position = ids + piece, block + [number] * len(piece), position + list(range(len(piece)))
                self.kinds += [kind for kind, _, _ in turns]
            rows.append((ids, owner, block, position))
        length = max(len(ids) for ids, *_ in rows)
        self.ids, self.owner, self.block, self.position = (
            torch.tensor([row[i] + [fill] * (length - len(row[i])) for row in rows]) for i, fill in enumerate((0, 0, -1, 0)))


def judge(network, head, packed, image_rows=None, taps=None, whole=False):
    """-> mean loss over the answers' ids, and for each turn whether all its ids were the likeliest (what greedy decoding would say).

    image_rows [N, tokens², H], the projected tokens, stand between the head and every conversation of their row.
    taps: a dict whose keys are layers; it is filled with the states of `packed.ids` behind them, with `whole` of the image tokens too.
    """
    body, n = network.model.embed_tokens(packed.ids), len(packed.ids)
    block, position, seen = packed.block, packed.position, 0
    if image_rows is not None:
        seen = image_rows.shape[1]
        body = torch.cat((image_rows, body), 1)
        block = torch.cat((torch.full((n, seen), -2), block), 1)
        position = torch.cat((torch.arange(seen).expand(n, -1), position + seen), 1)
    t = body.shape[1]
    mask = ((block[:, None] == -2) | (block[:, None] == block[:, :, None])) & torch.ones(t, t, dtype=torch.bool).tril()
    hidden = network.decode(head, body, position, mask, taps=taps)[:, seen:]
    for layer in taps or ():
        taps[layer] = taps[layer] if whole else taps[layer][:, seen:]
    owner, target = packed.owner[:, 1:], packed.ids[:, 1:]                  # the first id of a row is never an answer
    learned = owner > 0
    logits, target = network.lm_head(hidden[:, :-1][learned]), target[learned]
    wrong = set(owner[learned][logits.detach().argmax(-1) != target].tolist())
    asked = set(owner[learned].tolist())
    return F.cross_entropy(logits, target), {turn: turn not in wrong for turn in asked}


def about_pictures(rng, tokenizer, scenes, legible, weights, room=210):
    """Conversations about each scene, about `room` ids a row; one in seven has a second question."""
    rows = []
    for scene, clear in zip(scenes, legible):
        row, used = [], 0
        while True:
            turns = grammar.ask_balanced(rng, scene, weights, clear)
            if rng.random() < 0.15:
                turns = turns + grammar.ask_balanced(rng, scene, weights, clear)
            used += len(tokenizer.turns(turns, True)[0])
            if used > room and row:
                break
            row.append(turns)
        rows.append(row)
    return Packed(tokenizer, rows, True)


SHORT = dict(where=1, colour=1, at=1, back=1, sign=1)


def without_picture(rng, tokenizer, budget=1500, short=0.0):
    """About `budget` ids of conversations without a picture, of similar length: wishes and talk (45 %), and questions about a scene
    that the first turn tells in words; `short` of them are simple questions about one or two things."""
    rows = []
    while sum(len(ids) for ids, _ in rows) < 8 * budget:
        if rng.random() < 0.45 and rng.random() >= short:
            turns = grammar.chat(rng)
        else:
            scene, brief = world.sample_scene(rng, word_share=0.05), rng.random() < short
            if brief:
                scene.things = scene.shapes[:1] + scene.signs[:1]
            weights, turns = SHORT if brief else KIND_WEIGHTS, []
            while len(turns) < 4:
                turns += grammar.ask_balanced(rng, scene, weights)
            things = rng.sample(scene.things, len(scene.things)) if rng.random() < 0.3 else scene.things
            story = grammar.told(scene, things, rng.choice(("I see", "The picture shows", "There is")))
            turns = [("told " + kind, question, answer) for kind, question, answer in turns]
            turns[0] = (turns[0][0], f"{story} {turns[0][1]}", turns[0][2])
        ids, _ = tokenizer.turns(turns, False)
        if len(ids) <= 260:
            rows.append((ids, turns))
    rows.sort(key=lambda row: len(row[0]))
    first = rng.randrange(len(rows))
    chosen = rows[first:first + max(1, budget // len(rows[first][0]))]
    return Packed(tokenizer, [[turns] for _, turns in chosen], False)
