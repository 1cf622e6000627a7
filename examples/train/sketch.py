"""Stage 8: the generator's autoencoder, on crowded pictures (4 to 9 shapes), which hold several times the edges at the same cost.

    python sketch.py --out sketch.state --minutes 25
    python sketch.py --out sketch.state --folder ../mgm-tiny/generator --minutes 25       starts from an exported folder instead

What is not ground weighs more, and so do the edges. The score is the checker's, of pictures that went through the latents and back: it is
the ceiling of every drawing.
"""
import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

import captions
import painter_folder
import world
from checker import Score
from data import pixels
from painter import Autoencoder, PainterSizes
from states import Average, Stage, common, guarded, learn, load

HELD_OUT = 960_000


def scene_of(rng, fewest, most):
    while len((scene := captions.random_scene(rng, most)).things) < fewest:
        pass
    return scene


def pictures(rng, scenes, side):
    """[N, 3, side, side] in [-1, 1] of scenes drawn anew."""
    return torch.stack([pixels(world.render(s, rng)[0], side=side) for s in scenes]).float() / 127.5 - 1


def image_of(x):
    """The picture of [3, side, side] in [-1, 1]."""
    return Image.fromarray(((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


@torch.no_grad()
def round_trip(vae, side, count=120, first=HELD_OUT):
    score, misfit = Score(), 0.0
    for at in range(first, first + count, 20):
        rng = random.Random(f"sketch {at}")
        scenes = [captions.random_scene(rng) for _ in range(20)]
        images = pictures(rng, scenes, side)
        back = vae.decode(vae.encode(images)[0])
        misfit += (back.clamp(-1, 1) - images).square().mean().item() * 20 / count
        for scene, image in zip(scenes, back):
            score.add(image_of(image), scene)
    return f"{score}, {-10 * torch.log10(torch.tensor(misfit / 4)):.1f} dB"


def steps_along(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 25, 1.2e-3)
    parser.add_argument("--folder", help="exported generator to start from")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--exam", type=float, default=3.0, help="CPU minutes between scores")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    sizes = PainterSizes()
    vae = Autoencoder(sizes)
    if given.folder and not Path(given.out).exists():
        vae.load_state_dict(painter_folder.read(given.folder)["vae"].state_dict())
    stage = Stage("sketch", given, dict(vae=vae), torch.optim.AdamW(vae.parameters(), lr=given.rate, betas=(0.9, 0.99), weight_decay=0.01))
    average = Average(dict(vae.named_parameters()), keep=0.995)
    if stage.step:
        average.values.update(load(given.out)["average"])
        average.updates = stage.step
    rng, judged = random.Random(stage.seed()), stage.spent
    for _ in stage.steps(lambda: dict(average=average.values)):
        scenes = [scene_of(rng, 4, 9) for _ in range(given.batch)]
        images = pictures(rng, scenes, sizes.side)
        mean, log_variance = vae.encode(images)
        back = vae.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
        away = (images - images[:, :, :1, :1]).abs().amax(1, keepdim=True) > 0.25
        weight = 1 + 3 * F.max_pool2d(away.float(), 3, 1, 1)                                      # [N, 1, side, side]
        far = (weight * (back - images).abs()).mean()
        edges = sum((a - b).abs().mean() for a, b in zip(steps_along(back), steps_along(images)))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        learn(stage.optimizer, far + edges + 1e-3 * kl, list(vae.parameters()))
        average.update()
        stage.note(away=far.item(), edges=edges.item(), kl=kl.item())
        if stage.spent - judged > 60 * given.exam:
            judged = stage.spent
            average.swap()
            print("  round trip:", round_trip(vae, sizes.side), flush=True)
            average.swap()


if __name__ == "__main__":
    guarded(main)
