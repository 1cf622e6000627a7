"""Stage 0: the decoder on text alone: wishes, small talk, and questions about scenes that are told in words.

    python words.py --out words.state --minutes 30 [--short 0.3]

The figures are moving shares of whole answers right: `wish` and `talk` without a scene, `told …` about a scene told in words.
"""
import argparse
import math
import random

import torch
from torch import nn

import data
import folder
from network import MGM
from states import Stage, common, guarded, learn
from tokenizer import Tokenizer


@torch.no_grad()
def look_back(network):
    """Three heads of the first layer start looking 1, 2 and 3 ids back: a direction u that all embeddings share drives them, since
    q·k after the rotation is the sum of cos(θ (i − j − n)). It turns the words before a word into something to be found by."""
    s, table, a = network.sizes, network.model.embed_tokens.weight, network.model.layers[0].self_attn
    width, waves = s.hidden // s.heads, 6
    u = nn.functional.normalize(torch.randn(s.hidden), dim=0)
    table.sub_((table @ u)[:, None] * u)
    table.add_(0.025 * math.sqrt(s.hidden) * u)
    angle = s.theta ** (-2 * torch.arange(waves) / width)
    for head in range(3):
        rows = slice(head * width, (head + 1) * width)
        q, k = torch.zeros(width), torch.zeros(width)
        k[:waves], q[:waves] = 1, (angle * (head + 1)).cos()
        q[width // 2:width // 2 + waves] = -(angle * (head + 1)).sin()
        a.q_proj.weight[rows] = 0.1 * a.q_proj.weight[rows] + q[:, None] * u
        a.k_proj.weight[rows] = 0.1 * a.k_proj.weight[rows] + k[:, None] * u
        nn.init.orthogonal_(a.v_proj.weight[rows])
        a.o_proj.weight[:, rows] = torch.randn(s.hidden, width) / math.sqrt(s.hidden)


def main():
    parser = common(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), 30, 2e-3)
    parser.add_argument("--tokenizer", default=folder.TOKENIZER)
    parser.add_argument("--short", type=float, default=0.0, help="share of simple questions about one or two things")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    tokenizer, network = Tokenizer(given.tokenizer), MGM()
    look_back(network)
    language = network.tie().parts()[2]
    optimizer = torch.optim.AdamW(language.values(), lr=given.rate, betas=(0.9, 0.98), weight_decay=0.02)
    stage = Stage("words", given, dict(network=network), optimizer)
    rng, head = random.Random(stage.seed()), torch.tensor(tokenizer.head(False))
    for _ in stage.steps():
        packed = data.without_picture(rng, tokenizer, short=given.short)
        loss, right = data.judge(network, head, packed)
        learn(optimizer, loss, list(language.values()))
        stage.note(loss=loss.item())
        for number, correct in right.items():
            stage.hits[packed.kinds[number - 1]].append(correct)


if __name__ == "__main__":
    guarded(main)
