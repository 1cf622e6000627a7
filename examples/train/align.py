"""Stage 3: the projector learns to say the tokens of finished eyes in sums of word embeddings (labels.Words).

    python align.py --out align.state --eyes eyes.state --words words.state --minutes 3        eyes frozen: the projector's start
    python align.py --out align.state --eyes eyes.state --words words.state --minutes 12       then, from that state, eyes trained along

The first 2 CPU minutes see 6 400 pictures once and train the projector alone on the tokens kept of them; after that everything trains
together on fresh pictures. If --out exists, the stage goes on from it.
"""
import argparse
import random

import torch
import torch.nn.functional as F

import data
import folder
from labels import Heads, Labels, Words, words_read
from network import MGM
from states import Stage, common, fits, guarded, learn, load
from tokenizer import Tokenizer
from world import WORDS


def cached_tokens(network, words, rng, count, batch=32):
    """Tokens of fresh pictures with targets and letters; those with print, of other things and of empty ground apart."""
    parts = []
    for _ in range(count // batch):
        scenes, images, mined, sharp = data.pictures(rng, batch, crowded=0.6)
        labels = Labels(scenes)
        with torch.no_grad():
            tokens = network.see(images, ~mined)
            target, spelled = words.targets(labels, mined & sharp)
        parts.append([t.flatten(0, 1) for t in (tokens, target, spelled, labels.kind)])
    tokens, target, spelled, kind = (torch.cat(p) for p in zip(*parts))
    print_ = (spelled > 0).any(-1)
    groups = [torch.nonzero(g)[:, 0] for g in (print_, (kind > 0) & ~print_, kind == 0)]
    return tokens, target, spelled, groups


def start_projector(projector, words, tokens, target, spelled, groups, steps=6000, rate=3e-3):
    """Regression from a start that sees each feature of the tokens at the same size; print, things and ground in fixed shares."""
    mean, spread = tokens.mean(0), tokens.std(0)
    first, last = projector[0], projector[2]
    with torch.no_grad():
        for layer in (first, last):
            layer.reset_parameters()
        first.weight.div_(spread)
        first.bias.copy_(-first.weight @ mean)
        last.weight.mul_(0.3)
    slow = [first.weight]
    fast = [first.bias, *last.parameters(), *words.spell.parameters()]
    optimizer = torch.optim.AdamW([dict(params=slow, lr=rate / 5), dict(params=fast, lr=rate)], weight_decay=0.0, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [rate / 5, rate], steps, pct_start=0.02)
    for step in range(steps):
        chosen = torch.cat([g[torch.randint(len(g), (n,))] for g, n in zip(groups, (256, 160, 96))])
        said = projector(tokens[chosen])
        misfit = F.mse_loss(said, target[chosen]) / target[chosen].square().mean()
        spelling = F.cross_entropy(words.letters(said[:256]).flatten(0, 1), spelled[chosen[:256]].flatten())
        optimizer.zero_grad()
        (3 * misfit + spelling).backward()
        optimizer.step()
        schedule.step()
        if step % 1000 == 999:
            print(f"  projector alone, step {step + 1} of {steps}: "
                  f"unexplained {misfit.item():.3f}, spelling {spelling.item():.3f}", flush=True)


@torch.no_grad()
def signs_read(network, words, count=100, first=900_000):
    """Share of held-out signs whose letters, read straight off the projected tokens, are right: random print and words apart."""
    right = {"random": [], "word": []}
    for seed in range(first, first + count, 20):
        rng = random.Random(f"signs {seed}")
        scenes, images, _, _ = data.pictures(rng, 20, word_share=0.25, blur=0, drop=0)
        labels, letters = Labels(scenes), words.letters(network.model.mm_projector(network.see(images))).argmax(-1)
        for n, scene in enumerate(scenes):
            for thing, text in words_read(letters[n], labels, scene, n):
                right["word" if thing.text in WORDS else "random"].append(text == thing.text)
    return ", ".join(f"{k} {100 * sum(v) / max(1, len(v)):.1f} % of {len(v)}" for k, v in right.items())


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 12, 5e-4)
    parser.add_argument("--eyes", help="state of eyes.py; not needed once --out exists")
    parser.add_argument("--words", help="state of words.py, for the embeddings; not needed once --out exists")
    parser.add_argument("--tokenizer", default=folder.TOKENIZER)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    network, heads = MGM(), Heads(MGM().sizes)
    words = Words(torch.zeros(network.sizes.vocabulary, network.sizes.hidden), Tokenizer(given.tokenizer))
    eyes, projector, _ = network.parts()
    trained = [*eyes.values(), *projector.values(), *heads.parameters(), *words.spell.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=given.rate, weight_decay=0.01, betas=(0.9, 0.98))
    stage = Stage("align", given, dict(network=network, heads=heads, words=words), optimizer)
    rng = random.Random(stage.seed())
    if not stage.step:
        if not (given.eyes and given.words):
            raise ValueError("nothing to start from: give --eyes and --words")
        seeing, spoken = load(given.eyes, "eyes"), load(given.words, "words")["network"]
        fits(given.eyes, heads, seeing["heads"])
        eyes_only = {k: t for k, t in seeing["network"].items() if "vision" in k or "vlm_uni" in k}
        fits(given.words, network, {**spoken, **eyes_only})
        words.load_state_dict(Words(network.model.embed_tokens.weight.detach(), Tokenizer(given.tokenizer)).state_dict())
        start_projector(network.model.mm_projector, words, *cached_tokens(network, words, rng, 6400))
        print("  signs read:", signs_read(network, words), flush=True)
        stage.save()
    for step in stage.steps():
        scenes, images, mined, sharp = data.pictures(rng, given.batch, crowded=0.6)
        labels, readable = Labels(scenes), mined & sharp
        tokens, fine = network.see(images, ~mined, with_map=True)
        said = network.model.mm_projector(tokens)
        target, spelled = words.targets(labels, readable)
        weight = torch.where(labels.kind > 0, 1.0, 0.15)[..., None]
        misfit = (weight * (said - target) ** 2).mean() / (weight * target ** 2).mean()
        asked = (spelled > 0).any(-1) | (torch.rand(spelled.shape[:2]) < 0.1)
        spelling = F.cross_entropy(words.letters(said[asked]).flatten(0, 1), spelled[asked].flatten())
        loss, right = heads.loss(tokens, fine, labels, readable, sharp)
        learn(optimizer, 0.5 * loss + 3 * misfit + 2 * spelling, trained)
        stage.note(unexplained=misfit.item(), spelling=spelling.item(), **right)
        if step % 300 == 299:
            print("  signs read:", signs_read(network, words), flush=True)


if __name__ == "__main__":
    guarded(main)
