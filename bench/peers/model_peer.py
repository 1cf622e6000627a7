"""The stages of models/model_bench.cpp in plain PyTorch on the CPU, with the same weights and inputs; one JSON line a stage.

    python bench/peers/model_peer.py --dtype bf16 [--stages vision,mining,prefill,decode] [--threads 2] [--dump DIR]

CLIP-L/14 at 336 px (23 layers), ConvNeXt-L at 768 px channels-last, mining as published (maps upsampled and concatenated, keys and values
projected), the projector; a Gemma decoder of 18 layers with PyTorch's fused attention, RMSNorm and SDPA. Eager mode, inference only.
With --dump each stage writes its result as raw floats: vision.f32, mining.f32, prefill.f32, decode.f32.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

PROMPT, DEPTH, TOKENS, VOCAB, WIDTH, HEADS, HEAD, FFN = 640, 18, 16, 256000, 2048, 8, 256, 16384


def make_normals(count=4194301):
    """The block of support/weights.hpp: centred sums of the bytes of splitmix64."""
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    total = z.view(np.uint8).reshape(-1, 8).sum(1, dtype=np.int32)
    return torch.from_numpy((total - 1020).astype(np.float32) * np.float32(1 / np.float32(209)))


class Maker:
    """Tensors by name: bf16(normals · scale + shift), in the dtype that is timed."""

    def __init__(self, dtype):
        self.dtype, self.normals = dtype, make_normals()

    def __call__(self, name, *shape, fan=None, shift=0.0):
        hash_ = 2166136261
        for c in name.encode():
            hash_ = (hash_ ^ c) * 16777619 & 0xFFFFFFFF
        first = hash_ % len(self.normals)
        scale = 1 / np.sqrt(np.float32(fan if fan else shape[1] if len(shape) > 1 else 100))
        block = (torch.roll(self.normals, -first) * float(scale) + shift).bfloat16().to(self.dtype)
        out = torch.empty(shape, dtype=self.dtype)
        flat = out.view(-1)
        for i in range(0, flat.numel(), len(block)):
            part = flat[i:i + len(block)]
            part.copy_(block[:part.numel()])
        return out

    def vector(self, name, n):
        return self(name, n, shift=1.0 if name.endswith("weight") else 0.0)

    def pair(self, name, n):
        return self.vector(name + ".weight", n), self.vector(name + ".bias", n)

    def linear(self, name, n, k):
        return self(name + ".weight", n, k), self.vector(name + ".bias", n)

    def conv(self, name, out, in_, p, bias=True):  # stored here as (out, ky, kx, in)
        weight = self(name + ".weight", out, p * p * in_).view(out, p, p, in_).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return weight, self.vector(name + ".bias", out) if bias else None


class Clip:
    def __init__(self, make):
        self.patch, _ = make.conv("clip.embeddings.patch_embedding", 1024, 3, 14, False)
        self.cls = make.vector("clip.embeddings.class_embedding", 1024)
        self.position = make("clip.embeddings.position_embedding.weight", 577, 1024)
        self.pre = make.pair("clip.pre_layrnorm", 1024)
        self.layers = []
        for i in range(23):
            at = f"clip.encoder.layers.{i}."
            self.layers.append((make.pair(at + "layer_norm1", 1024), [make.linear(at + f"self_attn.{p}_proj", 1024, 1024) for p in ("q", "k", "v", "out")],
                                make.pair(at + "layer_norm2", 1024), make.linear(at + "mlp.fc1", 4096, 1024), make.linear(at + "mlp.fc2", 1024, 4096)))

    def __call__(self, pixels):
        x = F.conv2d(pixels, self.patch, stride=14).flatten(2).transpose(1, 2)                     # [1, 576, 1024]
        x = torch.cat([self.cls.expand(1, 1, -1), x], 1) + self.position
        x = F.layer_norm(x, (1024,), *self.pre, 1e-5)
        for norm1, (q, k, v, out), norm2, fc1, fc2 in self.layers:
            n = F.layer_norm(x, (1024,), *norm1, 1e-5)
            heads = [F.linear(n, *p).view(1, 577, 16, 64).transpose(1, 2) for p in (q, k, v)]
            x = x + F.linear(F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(1, 577, 1024), *out)
            h = F.linear(F.layer_norm(x, (1024,), *norm2, 1e-5), *fc1)
            x = x + F.linear(h * torch.sigmoid(1.702 * h), *fc2)
        return x[:, 1:]


class ConvNeXt:
    def __init__(self, make):
        widths, depths = (192, 384, 768, 1536), (3, 3, 27, 3)
        self.stages = []
        for i, (width, depth) in enumerate(zip(widths, depths)):
            reduce = make.conv("convnext.stem.0", width, 3, 4) if i == 0 else make.conv(f"convnext.stages.{i}.downsample.1", width, widths[i - 1], 2)
            norm = make.pair("convnext.stem.1", width) if i == 0 else make.pair(f"convnext.stages.{i}.downsample.0", widths[i - 1])
            blocks = []
            for b in range(depth):
                at = f"convnext.stages.{i}.blocks.{b}."
                depthwise = make(at + "conv_dw.weight", 49, width, fan=49).view(7, 7, width).permute(2, 0, 1).unsqueeze(1)
                blocks.append((depthwise.contiguous(memory_format=torch.channels_last), make.vector(at + "conv_dw.bias", width), make.pair(at + "norm", width),
                               make.linear(at + "mlp.fc1", 4 * width, width), make.linear(at + "mlp.fc2", width, 4 * width), make.vector(at + "gamma", width)))
            self.stages.append((reduce, norm, blocks))

    def __call__(self, x):
        maps = []
        norm2d = lambda t, norm: F.layer_norm(t.permute(0, 2, 3, 1), (t.shape[1],), *norm, 1e-6).permute(0, 3, 1, 2)
        for i, (reduce, norm, blocks) in enumerate(self.stages):
            x = norm2d(F.conv2d(x, *reduce, stride=4), norm) if i == 0 else F.conv2d(norm2d(x, norm), *reduce, stride=2)
            for depthwise, bias, norm, fc1, fc2, gamma in blocks:
                y = F.conv2d(x, depthwise, bias, padding=3, groups=x.shape[1]).permute(0, 2, 3, 1)
                y = F.linear(F.gelu(F.linear(F.layer_norm(y, (x.shape[1],), *norm, 1e-6), *fc1)), *fc2)
                x = x + (gamma * y).permute(0, 3, 1, 2)
            maps.append(x)
        return maps


class Mining:
    """As published: Li et al. 2024, arXiv:2403.18814."""

    def __init__(self, make):
        project = lambda name, n: (make.pair(f"mining.{name}.0", n), make.linear(f"mining.{name}.1", 1024, n))
        self.query, self.key, self.value = (project(f"vlm_uni_{p}_projector", n) for p, n in (("query", 1024), ("aux", 2880), ("val", 2880)))

    def __call__(self, coarse, maps):
        project = lambda x, p: F.linear(F.layer_norm(x, x.shape[-1:], *p[0], 1e-5), *p[1])
        size = maps[0].shape[-2:]
        up = [maps[0]] + [F.interpolate(m.float(), size=size, mode="bilinear", align_corners=False).to(m.dtype) for m in maps[1:]]
        fine = torch.cat(up, 1).permute(0, 2, 3, 1)                                        # [1, 192, 192, 2880]
        cells = fine.unflatten(2, (24, 8)).unflatten(1, (24, 8)).transpose(2, 3)           # [1, 24, 24, 8, 8, 2880]
        cells = cells.flatten(3, 4).flatten(1, 2).contiguous()                             # [1, 576, 64, 2880]
        q, k, v = project(coarse, self.query)[:, :, None], project(cells, self.key), project(cells, self.value)
        scores = (q @ (k.transpose(-1, -2) / 1024 ** 0.5)).nan_to_num()                    # [1, 576, 1, 64]
        return coarse + (scores.softmax(-1) @ v)[:, :, 0]


class Decoder:
    def __init__(self, make):
        self.table = make("lm.model.embed_tokens.weight", VOCAB, WIDTH)
        self.norm = 1 + make.vector("lm.model.norm.weight", WIDTH)
        shapes = {"self_attn.q_proj": (HEADS * HEAD, WIDTH), "self_attn.k_proj": (HEAD, WIDTH), "self_attn.v_proj": (HEAD, WIDTH),
                  "self_attn.o_proj": (WIDTH, HEADS * HEAD), "mlp.gate_proj": (FFN, WIDTH), "mlp.up_proj": (FFN, WIDTH), "mlp.down_proj": (WIDTH, FFN)}
        self.layers = [[1 + make.vector(f"lm.model.layers.{i}.{n}.weight", WIDTH) for n in ("input_layernorm", "post_attention_layernorm")]
                       + [make(f"lm.model.layers.{i}.{n}.weight", *s) for n, s in shapes.items()] for i in range(DEPTH)]
        self.bytes = sum(t.numel() * t.element_size() for layer in self.layers for t in layer) + self.table.numel() * self.table.element_size()
        frequency = 10000.0 ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
        angles = torch.arange(1024, dtype=torch.float64)[:, None] * frequency
        self.cos, self.sin = (f(torch.cat([angles, angles], 1)).float().to(self.table.dtype) for f in (torch.cos, torch.sin))
        self.keys = torch.zeros(DEPTH, 1, 1, 1024, HEAD, dtype=self.table.dtype)
        self.values = torch.zeros_like(self.keys)

    def __call__(self, x, first, depth=DEPTH):
        """x [1, P, H] at positions first, … -> logits [V] behind the last row."""
        rows = x.shape[1]
        end = first + rows
        x = x * torch.tensor(WIDTH ** 0.5, dtype=x.dtype)
        cos, sin = self.cos[first:end], self.sin[first:end]
        rotate = lambda t: t * cos + torch.cat([-t[..., HEAD // 2:], t[..., :HEAD // 2]], -1) * sin
        for i, (norm1, norm2, q, k, v, o, gate, up, down) in enumerate(self.layers[:depth]):
            n = F.rms_norm(x, (WIDTH,), norm1, 1e-6)
            queries = rotate(F.linear(n, q).view(1, rows, HEADS, HEAD).transpose(1, 2))
            self.keys[i, :, :, first:end] = rotate(F.linear(n, k).view(1, rows, 1, HEAD).transpose(1, 2))
            self.values[i, :, :, first:end] = F.linear(n, v).view(1, rows, 1, HEAD).transpose(1, 2)
            past = [t[i, :, :, :end].expand(1, HEADS, end, HEAD) for t in (self.keys, self.values)]
            mixed = F.scaled_dot_product_attention(queries, *past, is_causal=rows > 1)
            x = x + F.linear(mixed.transpose(1, 2).reshape(1, rows, HEADS * HEAD), o)
            n = F.rms_norm(x, (WIDTH,), norm2, 1e-6)
            x = x + F.linear(F.gelu(F.linear(n, gate), approximate="tanh") * F.linear(n, up), down)
        return F.linear(F.rms_norm(x[0, -1:], (WIDTH,), self.norm, 1e-6), self.table)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", choices=("bf16", "f32"), required=True)
    parser.add_argument("--stages", default="vision,mining,prefill,decode")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dump", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    stages, dtype = args.stages.split(","), {"bf16": torch.bfloat16, "f32": torch.float32}[args.dtype]
    make, clock = Maker(dtype), time.perf_counter

    def report(stage, result, ms, cpu, **numbers):
        if args.dump:
            result.float().contiguous().numpy().tofile(args.dump / f"{stage}.f32")
        print(json.dumps({"stage": stage, "dtype": args.dtype, "ms": 1e3 * ms, "cpu_ms": 1e3 * cpu, **numbers}), flush=True)

    if "vision" in stages:
        clip, convnext, mining = Clip(make), ConvNeXt(make), Mining(make)
        first, second = make.linear("projector.0", 2048, 1024), make.linear("projector.2", 2048, 2048)
        low, high = (make(n, 1, s, s, 3, fan=1).permute(0, 3, 1, 2) for n, s in (("low", 336), ("high", 768)))  # channels last

        def see():
            t = [clock()]
            coarse = clip(low)
            t.append(clock())
            maps = convnext(high)
            t.append(clock())
            mined = mining(coarse, maps)
            t.append(clock())
            rows = F.linear(F.gelu(F.linear(mined, *first)), *second)
            t.append(clock())
            return coarse, rows, t

        see()
        busy = time.process_time()
        coarse, rows, t = see()
        busy = time.process_time() - busy
        if args.dump:
            coarse.float().contiguous().numpy().tofile(args.dump / "clip.f32")
        names = ("clip_ms", "convnext_ms", "mining_ms", "projector_ms")
        report("vision", rows, t[4] - t[0], busy, **{n: 1e3 * (b - a) for n, a, b in zip(names, t, t[1:])})
        del clip, convnext, coarse, rows
    if "mining" in stages:
        mining = Mining(make)
        coarse = make("coarse", 1, 576, 1024, fan=1)
        maps = [make(f"map{i}", 1, 192 >> i, 192 >> i, 192 << i, fan=1).permute(0, 3, 1, 2) for i in range(4)]
        if "vision" not in stages:
            mining(coarse, maps)  # warm
        start, busy = clock(), time.process_time()
        out = mining(coarse, maps)
        report("mining", out, clock() - start, time.process_time() - busy)
        del mining, maps
    if "prefill" in stages or "decode" in stages:
        lm, prompt = Decoder(make), make("prompt", 1, PROMPT, WIDTH, fan=WIDTH)
        lm(prompt, 0, depth=1)  # warm: every shape once
        start, busy = clock(), time.process_time()
        logits = lm(prompt, 0)
        report("prefill", logits, clock() - start, time.process_time() - busy, tokens=PROMPT)
        if "decode" in stages:
            ids = [torch.tensor([[1000 + 997 * t]]) for t in range(TOKENS)]
            lm(F.embedding(ids[0], lm.table), PROMPT, depth=1)
            start, busy = clock(), time.process_time()
            for t in range(TOKENS):
                logits = lm(F.embedding(ids[t], lm.table), PROMPT + t)
            seconds, busy = clock() - start, time.process_time() - busy
            report("decode", logits, seconds, busy, tok_s=TOKENS / seconds, gb_s=1e-9 * lm.bytes * TOKENS / seconds)


if __name__ == "__main__":
    main()
