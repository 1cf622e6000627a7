"""Stage 9: the generator's UNet, on cached latents.

    python paint.py --out paint.state --captions captions.state --sketch sketch.state --minutes 120
    python paint.py --out paint.state --folder ../mgm-tiny/generator --minutes 120          goes on from an exported folder

It predicts v (Salimans & Ho 2022, arXiv:2202.00512) on a schedule that ends in pure noise (Lin et al. 2023, arXiv:2305.08891), so the
ground comes from the caption and not from a trace of it in the noise. The states behind each transformer are asked on the way which place
each cell lies in and what the caption wants there; these heads are thrown away.
"""
import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import captions
import grammar
import painter_folder
from captions import HUES, KINDS
from checker import Score
from painter import PainterSizes
from sketch import HELD_OUT, image_of, pictures
from states import Average, Stage, common, fits, guarded, learn, load
from world import PLACES

STEPS = 1000


def noise_schedule():
    """ᾱ of each timestep: scaled linear betas, the roots shifted and scaled so that the last is 0 (arXiv:2305.08891, algorithm 1)."""
    root = (1 - torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, STEPS, dtype=torch.float64) ** 2).cumprod(0).sqrt()
    return (((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2).float()


@torch.no_grad()
def sample(nets, texts, steps=25, guidance=3.0, seed=0, s=PainterSizes()):
    """Pictures [N, 3, side, side] of captions by DDIM (Song et al. 2020, arXiv:2010.02502), trailing timesteps."""
    tokenizer, alpha = captions.CaptionTokenizer(), noise_schedule()
    n, unet = len(texts), nets["unet"]
    words = nets["text_encoder"](torch.tensor([tokenizer.ids(t, s.words) for t in ["", *texts]]))
    words = torch.cat((words[:1].expand(n, -1, -1), words[1:]))
    x = torch.randn(n, s.latents, s.grid, s.grid, generator=torch.Generator().manual_seed(seed))
    times = [round(STEPS - i * STEPS / steps) - 1 for i in range(steps)]
    for t, after in zip(times, [*times[1:], -1]):
        plain, wished = unet(x.repeat(2, 1, 1, 1), torch.full((2 * n,), t), words).chunk(2)
        v = plain + guidance * (wished - plain)
        a, b = alpha[t], alpha[max(after, 0)]
        clean, noise = a.sqrt() * x - (1 - a).sqrt() * v, a.sqrt() * v + (1 - a).sqrt() * x
        x = b.sqrt() * clean + (1 - b).sqrt() * noise
    return nets["vae"].decode(x / nets["scaling"])


def draw(nets, texts, **how):
    return [image_of(x) for x in sample(nets, texts, **how)]


def scored(nets, count=40, first=HELD_OUT, **how):
    rng = random.Random(f"wishes {first}")
    scenes, score = [captions.random_scene(rng) for _ in range(count)], Score()
    for image, scene in zip(draw(nets, [grammar.caption(s) for s in scenes], **how), scenes):
        score.add(image, scene)
    return score


class CellHints(nn.Module):
    """Linear questions to the states behind the transformers, cell by cell."""

    def __init__(self, channels):
        super().__init__()
        self.parts = len(PLACES), len(KINDS), len(HUES)
        self.heads = nn.ModuleList(nn.Linear(c, sum(self.parts)) for c in channels)

    def loss(self, taps, layouts, wished):
        """layouts: kinds and hues [N, 9]; wished [N]: the caption was given."""
        total, right = 0.0, 0.0
        for head, states in zip(self.heads, taps):
            side = states.shape[-1]
            third = ((torch.arange(side) + 0.5) * 3 / side).long()
            place = (3 * third[:, None] + third).flatten().expand(len(states), -1)                           # [N, cells]
            x = F.layer_norm(states.flatten(2).transpose(1, 2), states.shape[1:2])
            where, kind, hue = head(x).split(self.parts, -1)
            total = total + F.cross_entropy(where.flatten(0, 1), place.flatten())
            if wished.any():
                kinds, hues = (t[wished].gather(1, place[wished]) for t in layouts)
                weight = torch.tensor([0.3] + [1.0] * (len(KINDS) - 1))
                total = total + F.cross_entropy(kind[wished].flatten(0, 1), kinds.flatten(), weight)
                total = total + F.cross_entropy(hue[wished].flatten(0, 1), hues.flatten(), weight)
                right = ((hue[wished].argmax(-1) == hues) & (kind[wished].argmax(-1) == kinds))[kinds > 0].float().mean().item()
        return total / len(taps), right


class Latents:
    """Scenes drawn and encoded once, with their captions' states; new ones replace the oldest."""

    def __init__(self, nets, sizes, capacity=12_000):
        self.nets, self.sizes, self.capacity, self.rows, self.next = nets, sizes, capacity, [], 0
        self.tokenizer = captions.CaptionTokenizer()

    @torch.no_grad()
    def see(self, rng, count):
        scenes = [captions.random_scene(rng) for _ in range(count)]
        z = self.nets["vae"].encode(pictures(rng, scenes, self.sizes.side))[0].half()
        words = self.nets["text_encoder"](torch.tensor([self.tokenizer.ids(grammar.caption(s), self.sizes.words) for s in scenes])).half()
        for scene, latent, text in zip(scenes, z, words):
            row = latent, text, torch.tensor(captions.layout(scene)[0]), torch.tensor(captions.layout(scene)[1])
            if len(self.rows) < self.capacity:
                self.rows.append(row)
            else:
                self.rows[self.next] = row
            self.next = (self.next + 1) % self.capacity

    def draw(self, rng, count):
        latent, text, kinds, hues = (torch.stack(x) for x in zip(*(self.rows[rng.randrange(len(self.rows))] for _ in range(count))))
        return latent.float(), text.float(), (kinds, hues)


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 120, 1e-3)
    parser.add_argument("--captions", help="state of captions.py")
    parser.add_argument("--sketch", help="state of sketch.py")
    parser.add_argument("--folder", help="exported generator to go on from")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hints", type=float, default=0.1, help="weight of what is asked between the layers")
    parser.add_argument("--exam", type=float, default=10.0, help="CPU minutes between scores")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    sizes = PainterSizes()
    if given.folder:
        nets = painter_folder.read(given.folder)
    elif given.captions and given.sketch:
        nets = painter_folder.networks()
        fits(given.captions, nets["text_encoder"], load(given.captions, "captions")["network"])
        fits(given.sketch, nets["vae"], load(given.sketch, "sketch")["average"])
    else:
        raise ValueError("nothing to start from: give --folder, or --captions and --sketch")
    unet, fine, coarse = nets["unet"], *sizes.unet_widths
    heads = CellHints([fine, coarse, coarse, coarse, coarse, fine, fine])
    trained = [*unet.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01)
    stage = Stage("paint", given, dict(unet=unet, heads=heads), optimizer)
    average = Average(dict(unet.named_parameters()), keep=0.998)
    rng, memory, alpha = random.Random(stage.seed()), Latents(nets, sizes), noise_schedule()
    memory.see(rng, 640)
    if stage.step:
        state = load(given.out)
        average.values.update(state["average"])
        average.updates, nets["scaling"] = stage.step, state["scaling"]
    elif not given.folder:
        nets["scaling"] = 1 / torch.stack([row[0] for row in memory.rows]).float().std().item()
    with torch.no_grad():
        nothing = nets["text_encoder"](torch.tensor([memory.tokenizer.ids("", sizes.words)]))[0]
    judged = stage.spent
    for step in stage.steps(lambda: dict(average=average.values, scaling=nets["scaling"])):
        if len(memory.rows) < memory.capacity or step % 8 == 0:
            memory.see(rng, 32)
        latent, text, layouts = memory.draw(rng, given.batch)
        wished = torch.rand(given.batch) >= 0.1
        text[~wished] = nothing
        x, t = latent * nets["scaling"], torch.randint(STEPS, (given.batch,))
        noise, a = torch.randn_like(x), alpha[t][:, None, None, None]
        noisy, wanted, taps = a.sqrt() * x + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x, []
        v = unet(noisy, t, text, taps)
        loss = F.mse_loss(v, wanted)
        more, known = heads.loss(taps, layouts, wished)
        learn(optimizer, loss + given.hints * more, trained)
        average.update()
        stage.note(loss=loss.item(), hints=more.item(), known=known)
        if stage.spent - judged > 60 * given.exam:
            judged = stage.spent
            average.swap()
            print("  drawn:", scored(nets), flush=True)
            average.swap()


if __name__ == "__main__":
    guarded(main)
