"""Depthwise 7×7 with LayerNorm in PyTorch on the CPU, at the shapes of ConvNeXt-L at 768 px, in both memory layouts.

    python bench/peers/depthwise_peer.py [--threads 2] [--rounds 5]

Same work as bench/kernels/depthwise_bench.cpp. Prints the median milliseconds of one block of each stage, and of all 36 blocks.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

STAGES = ((192, 192, 3), (96, 384, 3), (48, 768, 27), (24, 1536, 3))  # side, channels, blocks


@torch.no_grad()
def block(x, weight, vectors):
    y = F.conv2d(x, weight, vectors[0], padding=3, groups=x.shape[1]).permute(0, 2, 3, 1)
    return F.layer_norm(y, y.shape[-1:], vectors[1], vectors[2], 1e-6)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for dtype in (torch.bfloat16, torch.float32):
        for layout in (torch.channels_last, torch.contiguous_format):
            total, parts = 0.0, []
            for side, channels, blocks in STAGES:
                x = torch.randn(1, channels, side, side).to(dtype).contiguous(memory_format=layout)
                weight, vectors = torch.randn(channels, 1, 7, 7).to(dtype), torch.randn(3, channels).to(dtype)
                block(x, weight, vectors)
                times = []
                for _ in range(args.rounds):
                    start = time.perf_counter()
                    block(x, weight, vectors)
                    times.append(1e3 * (time.perf_counter() - start))
                parts.append(statistics.median(times))
                total += blocks * parts[-1]
            print(f"depthwise/{str(dtype).removeprefix('torch.')}/{str(layout).removeprefix('torch.')}: all {total:.1f} ms; stages "
                  + ", ".join(f"{t:.2f}" for t in parts) + f" ms; torch {torch.__version__}, {args.threads} threads")


if __name__ == "__main__":
    main()
