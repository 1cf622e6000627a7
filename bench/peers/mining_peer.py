"""Mining as published, in PyTorch on the CPU: maps upsampled and concatenated, cells permuted, keys and values projected.

    python bench/peers/mining_peer.py [--threads 2] [--rounds 5]

Same shapes as bench/kernels/mining_bench.cpp at 768 px: 576 tokens, maps of 192, 384, 768 and 1536 channels, 1024-wide queries.
Prints the median milliseconds of one picture in bf16 and in f32.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

SIDE, CELL, WIDTH, CHANNELS = 24, 8, 1024, (192, 384, 768, 1536)


def make(dtype):
    torch.manual_seed(1)
    detail = sum(CHANNELS)
    maps = [torch.randn(1, c, SIDE * CELL >> i, SIDE * CELL >> i).to(dtype) for i, c in enumerate(CHANNELS)]
    project = lambda n: torch.nn.Sequential(torch.nn.LayerNorm(n), torch.nn.Linear(n, WIDTH)).to(dtype).eval()
    return torch.randn(1, SIDE * SIDE, WIDTH).to(dtype), maps, project(WIDTH), project(detail), project(detail)


@torch.no_grad()
def mine(coarse, maps, query, key, value):
    size = maps[0].shape[-2:]
    up = [maps[0]] + [F.interpolate(m.float(), size=size, mode="bilinear", align_corners=False).to(m.dtype) for m in maps[1:]]
    fine = torch.cat(up, 1).permute(0, 2, 3, 1)                                            # [1, 192, 192, 2880]
    cells = fine.unflatten(2, (SIDE, CELL)).unflatten(1, (SIDE, CELL)).transpose(2, 3)      # [1, 24, 24, 8, 8, 2880]
    cells = cells.flatten(3, 4).flatten(1, 2).contiguous()                                 # [1, 576, 64, 2880]
    q, k, v = query(coarse)[:, :, None], key(cells), value(cells)
    scores = (q @ (k.transpose(-1, -2) / WIDTH ** 0.5)).nan_to_num()                       # [1, 576, 1, 64]
    return coarse + (scores.softmax(-1) @ v)[:, :, 0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for dtype in (torch.bfloat16, torch.float32):
        inputs, times = make(dtype), []
        mine(*inputs)
        for _ in range(args.rounds):
            start = time.perf_counter()
            mine(*inputs)
            times.append(1e3 * (time.perf_counter() - start))
        print(f"mining/published/{str(dtype).removeprefix('torch.')}: {statistics.median(times):.1f} ms, torch {torch.__version__}, "
              f"{args.threads} threads")


if __name__ == "__main__":
    main()
