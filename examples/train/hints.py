"""What the decoder should know on its way to an answer, asked of its states between the layers; in training only.

A question like "What is left of the star?" needs two looks at the picture, one after the other, and the answer alone teaches neither: until
both are there, nothing is right. So the states are asked on the way, by linear heads that are thrown away afterwards:

  near    at a question's noun ("the green star", "red circles") and at the words of a place: which of the nine places it means.
  far     one thing, as its place, kind and hue: at the noun of a relation what stands in that direction, and in an answer, wherever
          the article, the colour or the noun of a thing is to be said next, that thing.
"""
import re

import torch
import torch.nn.functional as F
from torch import nn

import grammar
from labels import HUES, KINDS
from world import PLACES

HUE, NOUNS = "|".join(HUES[1:]), "|".join(KINDS[1:])
SPOT = re.compile("|".join(sorted(PLACES, key=len, reverse=True)))
NOUN = re.compile(rf"(?:\b({HUE}) )?\b({NOUNS}|shape)(?:e?s)?\b")
TOLD = re.compile(rf"\b[Aa]n? ({HUE}) ({NOUNS})\b(?: (?:is )?({SPOT.pattern}))?")


def meant(question, scene):
    """-> (end of its words, places) of what a question is about, or None."""
    if spot := SPOT.search(question):
        return spot.end(), {PLACES.index(spot[0])}
    if noun := NOUN.search(question):
        colour, kind = noun.groups()
        things = scene.shapes if kind == "shape" else grammar.alike(scene, kind)
        return noun.end(), {t.place for t in things if colour in (None, t.colour)}
    return None


def beyond(words, place, scene):
    """The thing nearest to a place in the direction that `words` name, or None."""
    (dx, dy), x, y = grammar.STEPS[words], place % 3, place // 3
    while 0 <= (x := x + dx) < 3 and 0 <= (y := y + dy) < 3:
        if hit := [t for t in scene.things if t.place == 3 * y + x]:
            return hit[0]
    return None


def coded(thing):
    """Place, kind and hue as numbers, all 0 for nothing."""
    return (1 + thing.place, KINDS.index(thing.kind), HUES.index(thing.colour)) if thing else (0, 0, 0)


def of_turn(turn, asked, scene):
    """The hints of a turn whose question stands in the text `asked`: [(first, last, "near" or "far", label)]. They belong to the ids
    that end at a character from first to last, counted through `asked` and then " " + answer."""
    kind, question, answer = turn
    out, n, shift = [], len(asked), asked.index(question)
    found = meant(question, scene) if kind not in ("draw", "describe", "back") else None
    if found:
        end, places = shift + found[0], found[1]
        out.append((end, end, "near", [float(p in places) for p in range(9)]))
    if kind == "relation":
        target = beyond(next(words for words in grammar.STEPS if f" {words} the " in question), *places, scene)
        return out + [(end, end, "far", coded(target)), (n, n + (answer.index(target.kind) if target else 0), "far", coded(target))]
    for told in TOLD.finditer(answer):
        colour, noun, place = told.groups()
        places = [PLACES.index(place)] if place else [t.place for t in grammar.alike(scene, noun, colour)]
        if len(places) == 1:
            label = 1 + places[0], KINDS.index(noun), HUES.index(colour)
            out.append((n + told.start(), n + told.start(2), "far", label))
    return out


class Hints:
    """The hints of packed conversations about `scenes`: at [n, 2] (row, position in `packed.ids`) and labels, by name."""

    def __init__(self, tokenizer, packed, scenes):
        found = dict(near=([], []), far=([], []))
        for row, (conversations, scene) in enumerate(zip(packed.rows, scenes)):
            at = 0
            for turns in conversations:
                for turn, (asked, said) in zip(turns, tokenizer.texts(turns, True)):
                    ends = tokenizer.ends(asked) + [len(asked) + e for e in tokenizer.ends(said)]
                    for first, last, name, label in of_turn(turn, asked, scene):
                        mine = [(row, at + i) for i, end in enumerate(ends) if first <= end <= last]
                        found[name][0].extend(mine)
                        found[name][1].extend([label] * len(mine))
                    at += len(ends) + 1                                        # </s>
        self.near, self.far = ((torch.tensor(at), torch.tensor(label)) for at, label in found.values())


class HintHeads(nn.Module):
    """Linear questions to the states behind layers `near` and `far` (counted from 0)."""

    def __init__(self, width, near, far):
        super().__init__()
        self.layers = near, far
        self.norms = nn.ModuleList(nn.RMSNorm(width, elementwise_affine=False, eps=1e-5) for _ in range(2))
        self.meant = nn.Linear(width, len(PLACES))
        self.thing = nn.Linear(width, 1 + len(PLACES) + len(KINDS) + len(HUES))

    def loss(self, states, hints):
        """states: {layer: [N, T, H] of the ids}. -> loss, shares right for the progress line."""
        (near, places), (far, thing) = hints.near, hints.far
        loss, right = 0.0, {}
        if len(near):
            logits = self.meant(self.norms[0](states[self.layers[0]][near[:, 0], near[:, 1]]))
            loss = loss + 3 * F.binary_cross_entropy_with_logits(logits, places)
            right["meant"] = ((logits > 0) == (places > 0)).all(1).float().mean().item()
        if len(far):
            logits = self.thing(self.norms[1](states[self.layers[1]][far[:, 0], far[:, 1]]))
            parts = logits.split((1 + len(PLACES), len(KINDS), len(HUES)), -1)
            loss = loss + sum(F.cross_entropy(part, thing[:, i]) for i, part in enumerate(parts))
            right["thing"] = torch.stack([p.argmax(-1) == thing[:, i] for i, p in enumerate(parts)]).all(0).float().mean().item()
        return loss, right
