"""Stage 2: both towers and the mining on whole pictures, asked through linear heads at the tokens T = C + M.

    python eyes.py --out eyes.state --crops crops.state --minutes 30

Pictures are crowded (3 to 5 signs), a tenth of them without the mining term, a twentieth blurred; print is asked only where it shows.
"""
import argparse
import random

import torch

import data
from labels import CODES, Heads, Labels
from network import MGM
from states import Stage, common, guarded, learn, load


@torch.no_grad()
def start(network, heads, crops):
    """ConvNeXt, keys, values and print heads from stage 1; the query starts as its one query for all tokens."""
    state, m = load(crops, "crops"), network.model
    reader = state["reader"]
    m.vision_tower_aux.load_state_dict(state["network"])
    for mine, its in ((m.vlm_uni_aux_projector, "key"), (m.vlm_uni_val_projector, "value"), (heads.text, "text")):
        mine.load_state_dict({k.removeprefix(its + "."): t for k, t in reader.items() if k.startswith(its + ".")})
    m.vlm_uni_query_projector[1].weight.mul_(0.2)
    m.vlm_uni_query_projector[1].bias.copy_(reader["query"])
    heads.cell[0].load_state_dict({"weight": reader["cell.0.weight"], "bias": reader["cell.0.bias"]})
    heads.cell[1].load_state_dict({"weight": reader["cell.1.weight"][:CODES], "bias": reader["cell.1.bias"][:CODES]})


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 30, 1e-3)
    parser.add_argument("--crops", help="state of crops.py; not needed once --out exists")
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    network = MGM()
    heads = Heads(network.sizes)
    trained = [*network.parts()[0].values(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=given.rate, weight_decay=0.01, betas=(0.9, 0.98))
    stage = Stage("eyes", given, dict(network=network, heads=heads), optimizer)
    if not stage.step:
        if not given.crops:
            raise ValueError("nothing to start from: give --crops")
        start(network, heads, given.crops)
    rng = random.Random(stage.seed())
    for _ in stage.steps():
        scenes, images, mined, sharp = data.pictures(rng, given.batch, crowded=0.85, blur=0.06, drop=0.1)
        tokens, fine = network.see(images, ~mined, with_map=True)
        loss, right = heads.loss(tokens, fine, Labels(scenes), mined & sharp, sharp)
        learn(optimizer, loss, trained)
        stage.note(loss=loss.item(), **right)


if __name__ == "__main__":
    guarded(main)
