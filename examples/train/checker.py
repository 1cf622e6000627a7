"""Says which coloured shapes a drawn picture shows, and scores drawings against what was wished for.

    python checker.py                              checks itself: on 300 rendered pictures, and against the wrong ones
    python checker.py FOLDER [--split comp]        draws captions of held-out seeds with an exported generator and scores them

Each of the nine places is judged alone: what differs from the ground (the median of the border) is the shape, its colour is the nearest
of the palette, its form the best of six silhouettes by intersection over union of 24x24 masks.
"""
import argparse
import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

import world
from world import BACKGROUNDS, COLOURS, SHAPES

SIDE, MASK = 192, 24                           # a picture is judged at this side; masks of silhouettes are this large


def silhouette(kind):
    image = Image.new("L", (8 * MASK, 8 * MASK))
    world.draw_shape(ImageDraw.Draw(image), kind, 4 * MASK, 4 * MASK, 3 * MASK, 255, 0)
    return cut(np.asarray(image) > 127)


def cut(mask):
    """A mask's own box, stretched to MASK x MASK."""
    ys, xs = np.nonzero(mask)
    box = Image.fromarray(np.uint8(255 * mask[ys.min():ys.max() + 1, xs.min():xs.max() + 1]))
    return np.asarray(box.resize((MASK, MASK), Image.Resampling.BILINEAR)) > 127


FORMS = {kind: silhouette(kind) for kind in SHAPES}


@dataclass(frozen=True)
class Seen:
    """What stands at a place: kind, colour, and how well the form fits (intersection over union)."""
    kind: str
    colour: str
    fit: float


def nearest(rgb, palette):
    return min(palette, key=lambda name: sum((a - b) ** 2 for a, b in zip(rgb, palette[name])))


def look(image):
    """-> (background, {place: Seen}) of a picture without signs."""
    pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(float)
    edges = pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]
    ground = np.median(np.concatenate([edge.reshape(-1, 3) for edge in edges]), 0)
    away = np.sqrt(((pixels - ground) ** 2).sum(-1)) > 70
    out, third = {}, SIDE // 3
    for place in range(9):
        y, x = place // 3 * third, place % 3 * third
        mine = away[y:y + third, x:x + third]
        if mine.mean() < 0.04:
            continue
        colour = nearest(np.median(pixels[y:y + third, x:x + third][mine], 0), COLOURS)
        mask = cut(mine)
        fits = {kind: (mask & form).sum() / (mask | form).sum() for kind, form in FORMS.items()}
        best = max(fits, key=fits.get)
        out[place] = Seen(best, colour, float(fits[best]))
    return nearest(ground, BACKGROUNDS), out


class Score:
    """Counts over drawings: triples (colour, shape, place) that are there, whole pictures right, colours, shapes, grounds."""

    def __init__(self):
        self.counts = {name: [0, 0] for name in ("triples", "colour", "shape", "background", "nothing else", "whole")}

    def add(self, image, scene):
        ground, seen = look(image)
        hits = [(seen.get(t.place), t) for t in scene.things]
        right = [s is not None and (s.kind, s.colour) == (t.kind, t.colour) for s, t in hits]
        other = not seen.keys() - {t.place for t in scene.things}
        self.count("triples", right)
        self.count("colour", [s is not None and s.colour == t.colour for s, t in hits])
        self.count("shape", [s is not None and s.kind == t.kind for s, t in hits])
        self.count("background", [ground == scene.background])
        self.count("nothing else", [other])
        self.count("whole", [all(right) and other and ground == scene.background])

    def count(self, name, right):
        self.counts[name][0] += sum(right)
        self.counts[name][1] += len(right)

    def __str__(self):
        return ", ".join(f"{k} {100 * a / max(1, b):.1f} % of {b}" for k, (a, b) in self.counts.items())


def wishes(count, first, split="train"):
    """Scenes of held-out seeds: of split "comp" each with a (colour, shape, place) that training never held."""
    from captions import random_scene
    out, seed = [], first
    while len(out) < count:
        scene = random_scene(random.Random(f"wish {seed}"), split=split)
        out.append(scene)
        seed += 1
    return out


def itself():
    """What the checker says of 300 rendered pictures, and of these against other wishes."""
    right, wrong, last = Score(), Score(), None
    for seed, scene in enumerate(wishes(300, 960_000)):
        image = world.render(scene, random.Random(seed))[0].resize((64, 64), Image.Resampling.BICUBIC)
        right.add(image, scene)
        if last:
            wrong.add(image, last)
        last = scene
    print(f"rendered at 64 pixels: {right}\nagainst another wish: {wrong}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="exported generator")
    parser.add_argument("--count", type=int, default=80, help="drawings")
    parser.add_argument("--first", type=int, default=970_000, help="seed of the first wish")
    parser.add_argument("--split", choices=("train", "comp"), default="train")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.0)
    given = parser.parse_args()
    if not given.folder:
        return itself()
    import paint
    import painter_folder
    from grammar import caption
    torch.set_num_threads(1)
    nets, scores = painter_folder.read(given.folder), {"1 or 2 things": Score(), "3 or 4 things": Score()}
    scenes = wishes(given.count, given.first, given.split)
    for at in range(0, len(scenes), 20):
        some = scenes[at:at + 20]
        drawn = paint.draw(nets, [caption(s) for s in some], steps=given.steps, guidance=given.guidance, seed=given.first + at)
        for scene, image in zip(some, drawn):
            scores["1 or 2 things" if len(scene.things) < 3 else "3 or 4 things"].add(image, scene)
    print("\n".join(f"{name}: {score}" for name, score in scores.items()))


if __name__ == "__main__":
    main()
