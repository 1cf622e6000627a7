"""A stage of models/diffusion_bench.cpp by diffusers on the CPU, with the same weights and inputs; one JSON line.

    python bench/peers/diffusion_peer.py --stage unet_sd15|unet_sdxl|vae --dtype bf16|f32 [--threads 2] [--repeat 1] [--dump DIR]

diffusers' own modules, channels-last, with PyTorch's fused attention, eager mode, inference only. `peak_mb` is the most memory that the process
held; weights are made in place, so that it is what the stage needs. With --dump the result goes to DIR/<stage>.f32 as raw floats.
"""
import argparse
import json
import pathlib
import resource
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from model_peer import Maker

SIDE, TOKENS = 64, 77  # 512 px, a prompt
CROSS_DOWN, DOWN, CROSS_UP, UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
UNETS = {
    "unet_sd15": dict(block_out_channels=[320, 640, 1280, 1280], down_block_types=[CROSS_DOWN] * 3 + [DOWN], up_block_types=[UP] + [CROSS_UP] * 3,
                      attention_head_dim=8, cross_attention_dim=768, sample_size=64),
    "unet_sdxl": dict(block_out_channels=[320, 640, 1280], down_block_types=[DOWN] + [CROSS_DOWN] * 2, up_block_types=[CROSS_UP] * 2 + [UP],
                      attention_head_dim=[5, 10, 20], cross_attention_dim=2048, transformer_layers_per_block=[1, 2, 10],
                      use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                      projection_class_embeddings_input_dim=2816, sample_size=128),
}
VAE = dict(block_out_channels=[128, 256, 512, 512], down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
           layers_per_block=2, latent_channels=4, sample_size=512)


def fill(model, path, make):
    """Every parameter as bench::fill_parameters makes it: convolutions lie there as (out, ky, kx, in)."""
    for name, p in model.named_parameters():
        full = f"{path}.{name}"
        if p.dim() == 4:
            out, in_, kh, kw = p.shape
            p.copy_(make(full, out, kh * kw * in_).view(out, kh, kw, in_).permute(0, 3, 1, 2))
        elif p.dim() == 2:
            p.copy_(make(full, *p.shape))
        else:
            p.copy_(make.vector(full, len(p)))


def empty(build, dtype):
    """A model of uninitialised memory, channels-last."""
    with torch.device("meta"):
        model = build().to(dtype).eval()
    return model.to_empty(device="cpu").to(memory_format=torch.channels_last)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", choices=[*UNETS, "vae"], required=True)
    parser.add_argument("--dtype", choices=("bf16", "f32"), required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="timed calls after the first; their mean is told")
    parser.add_argument("--dump", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[args.dtype]
    make = Maker(dtype)
    latents = make("latents", 1, SIDE, SIDE, 4, fan=1).permute(0, 3, 1, 2)  # channels last
    if args.stage == "vae":
        model = empty(lambda: AutoencoderKL(**VAE), dtype)
        model.encoder = model.quant_conv = None
        fill(model, "vae", make)
        run = lambda: model.decode(latents).sample
    else:
        config = UNETS[args.stage]
        model = empty(lambda: UNet2DConditionModel(**config), dtype)
        fill(model, "unet", make)
        words = make("text", 1, TOKENS, config["cross_attention_dim"], fan=1)
        added = None
        if args.stage == "unet_sdxl":
            added = {"text_embeds": make("pooled", 1, 1280, fan=1), "time_ids": torch.tensor([[512.0, 512, 0, 0, 512, 512]])}
        run = lambda: model(latents, 981, words, added_cond_kwargs=added).sample
    del make
    out = run()  # warm
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(args.repeat):
        out = run()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    if args.dump:
        out[0].permute(1, 2, 0).float().contiguous().numpy().tofile(args.dump / f"{args.stage}.f32")
    print(json.dumps({"stage": args.stage, "dtype": args.dtype, "ms": 1e3 * seconds / args.repeat, "cpu_ms": 1e3 * busy / args.repeat,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


if __name__ == "__main__":
    main()
