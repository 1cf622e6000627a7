"""Stage 1: the ConvNeXt learns to read on crops of 64x32 pixels with one sign each, an eighth of a picture's cost.

    python crops.py --out crops.state --minutes 13

It is asked for the character and its index under every 4x4 cell, and for the characters whose centres lie in a token, by thirds of the
token's width, through the value projection and a query as the mining uses them; so mining starts as a reader. A network this small stays
at chance for some 17 000 crops.
"""
import argparse
import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import nn

import world
from labels import CODE, CODES, INDICES
from network import ConvNext, Sizes, normalised, normed_linear
from states import Stage, common, guarded, learn

WIDTH, HEIGHT = 64, 32                         # of a crop as the model sees it; it is drawn at twice the size


def crop(rng):
    """-> pixels [3, 32, 64], letter and index under each cell [8, 16], letter and index by thirds of each token [2, 4, 3]."""
    ground = world.jittered(rng, world.BACKGROUNDS[rng.choice(list(world.BACKGROUNDS))])
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), ground)
    canvas = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        ink = world.jittered(rng, world.COLOURS[rng.choice(list(world.COLOURS))])
        world.draw_shape(canvas, rng.choice(world.SHAPES), rng.uniform(-20, 150), rng.choice((-20, 84)), rng.uniform(20, 32), ink, ground)
    text = world.sign_text(rng, 0)
    width, height = world.print_size(text)
    left, top = rng.randint(0, 2 * WIDTH - width), rng.randint(0, 2 * HEIGHT - height)
    world.draw_sign(canvas, rng, rng.choice(list(world.PLATES)), text, left, top)
    cell, cell_index = (np.zeros((HEIGHT // 4, WIDTH // 4), np.int64) for _ in range(2))
    letter, index = (np.zeros((HEIGHT // 16, WIDTH // 16, 3), np.int64) for _ in range(2))
    for i, c in enumerate(text):
        x, y = (left + 11 + 12 * i) / 2, (top + 13) / 2
        at = int(y // 16), int(x // 16), int(x % 16 * 3 / 16)
        letter[at], index[at] = CODE[c], i + 1
    which = np.floor(((np.arange(WIDTH // 4) + 0.5) * 8 - left - 5) / 12).astype(int)
    rows = (np.arange(HEIGHT // 4) + 0.5) * 8
    for y in np.nonzero((rows > top + 4) & (rows < top + height - 4))[0]:
        for x in np.nonzero((which >= 0) & (which < len(text)))[0]:
            cell[y, x], cell_index[y, x] = CODE[text[which[x]]], 1 + which[x]
    pixels = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    return pixels, cell, cell_index, letter, index


class Reader(nn.Module):
    """Heads over the map: a linear one at each cell, and one at each token behind key, one query and value."""

    def __init__(self, fine, width):
        super().__init__()
        self.cell = nn.Sequential(nn.LayerNorm(fine), nn.Linear(fine, CODES + INDICES))
        self.key, self.value = normed_linear(fine, width), normed_linear(fine, width)
        self.query, self.text = nn.Parameter(torch.zeros(width)), nn.Linear(width, 3 * (CODES + INDICES))

    def tokens(self, fine):
        """[N, h, w, F] -> logits [N, h/4, w/4, 3, 33 + 6]."""
        cells = fine.unflatten(1, (-1, 4)).unflatten(3, (-1, 4)).transpose(2, 3).flatten(3, 4)
        weight = (self.key(cells) @ self.query / math.sqrt(len(self.query))).softmax(-1)
        return self.text((weight[..., None] * self.value(cells)).sum(3)).unflatten(-1, (3, -1))


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 13, 1.5e-3)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    sizes = Sizes()
    network = ConvNext(sizes.widths, sizes.depths)
    network.start_reading()
    reader = Reader(sum(sizes.widths), sizes.width)
    trained = [*network.parameters(), *reader.parameters()]
    stage = Stage("crops", given, dict(network=network, reader=reader), torch.optim.AdamW(trained, lr=given.rate, betas=(0.9, 0.98)))
    rng = random.Random(stage.seed())
    for _ in stage.steps():
        images, cell, cell_index, letter, index = (torch.from_numpy(np.stack(x)) for x in zip(*(crop(rng) for _ in range(given.batch))))
        fine = network(normalised(images)).permute(0, 2, 3, 1)
        at = (cell > 0) | (torch.rand(cell.shape) < 0.15)
        cells = reader.cell(fine[at])
        loss = F.cross_entropy(cells[:, :CODES], cell[at]) + 0.3 * F.cross_entropy(cells[:, CODES:], cell_index[at])
        there = (letter > 0).any(-1) | (torch.rand(letter.shape[:3]) < 0.2)
        text, letter, index = reader.tokens(fine)[there], letter[there].flatten(), index[there].flatten()
        text = text.flatten(0, 1)
        loss = loss + F.cross_entropy(text[:, :CODES], letter) + 0.3 * F.cross_entropy(text[:, CODES:], index)
        learn(stage.optimizer, loss, trained)
        with torch.no_grad():
            right = (cells[:, :CODES].argmax(1) == cell[at])[cell[at] > 0], (text[:, :CODES].argmax(1) == letter)[letter > 0]
            stage.note(loss=loss.item(), cell=right[0].float().mean().item(), token=right[1].float().mean().item())


if __name__ == "__main__":
    guarded(main)
