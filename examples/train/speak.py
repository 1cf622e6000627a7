"""Stage 4: the decoder learns to speak about what the eyes see.

    python speak.py --out speak.state --eyes align.state --words words.state --minutes 60
    python speak.py --out speak.state --folder ../mgm-tiny --minutes 60       starts from an exported folder instead
    python speak.py --out joint.state --folder ../mgm-tiny --minutes 40 --rate 4e-4 --eyes-rate 1e-4      eyes trained along

On the way to their answers the states are asked what they know (hints.py), which teaches questions that need two looks at the picture.
If --out exists, the stage goes on from it. A figure by kind on pictures of held-out seeds is printed now and then; it is that of the
moving average of the weights, which is also what `folder.py` exports.
"""
import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

import torch

import data
import folder
import grammar
import world
from hints import HintHeads, Hints
from network import MGM, Sizes, normalised
from states import Average, Stage, common, fits, guarded, learn, load
from tokenizer import Tokenizer

HELD_OUT = 900_000                             # first seed of the pictures that are only asked about


class Exam:
    """One question a kind about each of `count` held-out pictures, as they come (nothing is balanced)."""

    def __init__(self, tokenizer, count, first=HELD_OUT, split="train"):
        self.pixels, self.rows = [], []
        for seed in range(first, first + count):
            image, scene = world.picture(seed, split)
            rng = random.Random(f"questions {seed}")
            turns = [grammar.ask(rng, scene, kind) for kind in grammar.KINDS]
            self.pixels.append(data.pixels(image))
            self.rows.append([t for t in turns if t])
        self.tokenizer = tokenizer

    @torch.no_grad()
    def take(self, network, head, batch=20, drop=False):
        """-> {kind: [exact, asked]}; relations that are not 'nothing' and yes and no are counted apart as well."""
        score = defaultdict(lambda: [0, 0])
        for at in range(0, len(self.rows), batch):
            rows, images = self.rows[at:at + batch], normalised(torch.stack(self.pixels[at:at + batch]))
            seen = network.model.mm_projector(network.see(images, torch.full((len(rows),), drop)))
            packed = data.Packed(self.tokenizer, rows, True, only_last=True)
            _, right = data.judge(network, head, packed, seen)
            turns = [turn for row in rows for conversation in row for turn in conversation]
            for number, correct in right.items():
                kind, _, answer = turns[number - 1]
                first = answer.split()[0].rstrip(",")
                for name in {kind, f"{kind}/{first}" if first in ("Nothing", "Yes", "No") and kind != "multi" else kind}:
                    score[name][0] += correct
                    score[name][1] += 1
                if kind in ("relation", "at") and first != "Nothing":
                    score[kind + "/some"][0] += correct
                    score[kind + "/some"][1] += 1
        return score


def shown(score):
    return ", ".join(f"{k} {100 * a / b:.1f} ({b})" for k, (a, b) in sorted(score.items()))


def start(network, given):
    """Weights to begin with, from two earlier stages or from a folder."""
    if given.folder:
        fits(given.folder, network, folder.read(given.folder).state_dict())
    elif given.eyes and given.words:
        words, eyes = load(given.words, "words")["network"], load(given.eyes, "align")["network"]
        seeing = {k: t for k, t in eyes.items() if "vision" in k or "vlm_uni" in k or "mm_projector" in k}
        fits(given.eyes, network, {**words, **seeing})
    else:
        raise ValueError("nothing to start from: give --folder, or --eyes and --words")


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 60, 1.2e-3)
    parser.add_argument("--eyes", help="state of align.py")
    parser.add_argument("--words", help="state of words.py")
    parser.add_argument("--folder", help="exported folder to start from")
    parser.add_argument("--tokenizer", default=folder.TOKENIZER)
    parser.add_argument("--eyes-rate", type=float, default=0.0, help="learning rate of towers, mining and projector (default 0: frozen)")
    parser.add_argument("--batch", type=int, default=12, help="pictures a step")
    parser.add_argument("--kinds", default="{}", help='JSON that changes the weights of kinds, as {"sign": 8}')
    parser.add_argument("--hints", type=float, default=0.3, help="weight of what is asked between the layers (default 0.3, 0: nothing)")
    parser.add_argument("--hint-layers", type=int, nargs=2, metavar=("NEAR", "FAR"), help="default: the third and second from the end")
    parser.add_argument("--crowded", type=float, default=0.15, help="share of pictures with 3 to 5 signs (default 0.15)")
    parser.add_argument("--exam", type=float, default=5.0, help="CPU minutes between figures on held-out pictures")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    layers = Sizes().layers
    if Path(given.out).exists():
        layers = load(given.out, "speak")["layers"]
    elif given.folder:
        layers = folder.read(given.folder).sizes.layers
    tokenizer, network = Tokenizer(given.tokenizer), MGM(Sizes(layers=layers))
    with_image, without = (torch.tensor(tokenizer.head(w)) for w in (True, False))
    weights = {**data.KIND_WEIGHTS, **json.loads(given.kinds)}
    network.tie()
    eyes, projector, language = network.parts()
    eyes.update(projector)                     # trained by the decoder at its own rate, the projector forgets the print within minutes
    for p in eyes.values():
        p.requires_grad_(given.eyes_rate > 0)
    groups = [dict(params=list(language.values()), lr=given.rate)]
    groups += [dict(params=list(eyes.values()), lr=given.eyes_rate)] if given.eyes_rate else []
    heads = HintHeads(network.sizes.hidden, *(given.hint_layers or (layers - 3, layers - 2)))
    groups.append(dict(params=list(heads.parameters()), lr=2 * given.rate))
    stage = Stage("speak", given, dict(network=network, heads=heads), torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02))
    if not stage.step:
        start(network, given)
    average = Average({**language, **(eyes if given.eyes_rate else {})})
    if stage.step:
        average.values.update(load(given.out)["average"])
        average.updates = stage.step
    rng, memory, exam = random.Random(stage.seed()), data.Memory(network, crowded=given.crowded), Exam(tokenizer, 200)
    judged = stage.spent
    while not given.eyes_rate and len(memory.scenes) < 960:
        memory.see(rng, 32)
    for step in stage.steps(lambda: dict(average=average.values, layers=layers)):
        if step % 6 == 5:
            loss, right = data.judge(network, without, packed := data.without_picture(rng, tokenizer))
            stage.note(text_loss=loss.item())
        elif given.eyes_rate:
            scenes, images, mined, sharp = data.pictures(rng, given.batch, crowded=given.crowded)
            packed = data.about_pictures(rng, tokenizer, scenes, (mined & sharp).tolist(), weights)
            seen, taps = network.see(images, ~mined), dict.fromkeys(heads.layers)
        else:
            if step % 2 == 0 or len(memory.scenes) < 4000:
                memory.see(rng, given.batch)
            scenes, legible, seen = memory.draw(rng, given.batch)
            packed, taps = data.about_pictures(rng, tokenizer, scenes, legible, weights), dict.fromkeys(heads.layers)
        if step % 6 != 5:
            loss, right = data.judge(network, with_image, packed, network.model.mm_projector(seen), taps)
            stage.note(loss=loss.item())
            if given.hints:
                more, known = heads.loss(taps, Hints(tokenizer, packed, scenes))
                loss = loss + given.hints * more
                stage.note(**known)
        learn(stage.optimizer, loss, [p for group in stage.optimizer.param_groups for p in group["params"]])
        average.update()
        for number, correct in right.items():
            stage.hits[packed.kinds[number - 1]].append(correct)
        if stage.spent - judged > 60 * given.exam:
            judged = stage.spent
            average.swap()
            print("  held out:", shown(exam.take(network, with_image)), flush=True)
            average.swap()


if __name__ == "__main__":
    guarded(main)
