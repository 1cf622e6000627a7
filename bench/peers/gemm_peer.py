"""The products of kernels/gemm_bench.cpp by PyTorch on two threads: median GFLOP/s in bf16 and f32, GB/s of weights for one row, attention.

Usage: python gemm_peer.py [seconds per row, default 0.5]
"""
import sys
import time

import torch

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
torch.set_num_threads(2)
torch.manual_seed(0)
torch.set_grad_enabled(False)


def median_time(run):
    run()
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], min(times)


print("torch", torch.__version__, "threads", torch.get_num_threads())
for dtype in (torch.bfloat16, torch.float32):
    for m, n, k in ((577, 3072, 1024), (577, 4096, 1024), (577, 1024, 4096), (2304, 3072, 768), (2304, 768, 3072), (640, 32768, 2048)):
        a, w = torch.rand(m, k).mul(2).sub(1).to(dtype), torch.rand(n, k).mul(2).sub(1).to(dtype)
        mid, best = median_time(lambda: torch.nn.functional.linear(a, w))
        print(f"gemm {str(dtype)[6:]:9} {m}x{n}x{k}: {mid * 1e3:8.2f} ms  {2e-9 * m * n * k / mid:7.1f} GFLOP/s (best {2e-9 * m * n * k / best:.1f})")
    for m, n, k in ((1, 16384, 2048), (1, 2048, 16384)):
        copies = (512 << 20) // (n * k * dtype.itemsize)
        w = [torch.rand(n, k).mul(2).sub(1).to(dtype) for _ in range(copies)]
        a, at = torch.rand(m, k).to(dtype), [0]

        def one():
            at[0] = (at[0] + 1) % copies
            return torch.nn.functional.linear(a, w[at[0]])

        mid, best = median_time(one)
        print(f"gemv {str(dtype)[6:]:9} {m}x{n}x{k}: {mid * 1e3:8.2f} ms  {1e-9 * n * k * dtype.itemsize / mid:7.1f} GB/s (best {1e-9 * n * k * dtype.itemsize / best:.1f})")
    for t, s, h, g, d, causal in ((577, 577, 16, 16, 64, False), (640, 640, 8, 1, 256, True), (1, 700, 8, 1, 256, False), (1, 3000, 32, 32, 128, False)):
        q, k, v = torch.rand(1, h, t, d).to(dtype), torch.rand(1, g, s, d).to(dtype), torch.rand(1, g, s, d).to(dtype)
        k, v = k.expand(1, h, s, d) if g == 1 else k, v.expand(1, h, s, d) if g == 1 else v
        mid, best = median_time(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal))
        print(f"attention {str(dtype)[6:]:9} {t}x{s} heads {h}/{g} d {d}: {mid * 1e3:8.3f} ms (best {best * 1e3:.3f})")
