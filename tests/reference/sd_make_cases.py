#!/usr/bin/env python3
"""Makes the folders of tests/data/sd: generators of random weights, pictures, and for each case the dump and the picture of diffusers.

    sd_make_cases.py OUT [CASE...]

sd_recipes.json says what is in a generator and which arguments a case has. OUT/NAME.case/ gets case.json, golden.safetensors and
golden.png; the form is that of tests/data/mgm: element 0, step, 2·step, … of each tensor of the float64 run, its scale, and how far a
float32 run and a float64 run with exact tables are from it.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

import sd_make_random
import sd_reference

HERE = Path(__file__).resolve().parent
KEEP = 500  # numbers of a tensor


def step_for(shape):
    """1 for small tensors, else a prime that divides no extent, so that every channel and position class is met."""
    n = torch.Size(shape).numel()
    step = max(1, -(-n // KEEP))
    while step > 1 and (any(step % p == 0 for p in range(2, int(step ** 0.5) + 1)) or any(s % step == 0 for s in shape if s > 1)):
        step += 1
    return step


def make_pictures(out):
    """A picture to begin with, its size no multiple of eight, and a mask with soft edges."""
    x, y = np.meshgrid(np.linspace(0, 1, 83), np.linspace(0, 1, 61))
    levels = np.stack([255 * x, 255 * y, 127 + 127 * np.sin(12 * x * y)], -1)
    picture = Image.fromarray(levels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((12, 10, 40, 46), fill=(230, 60, 20))
    pen.rectangle((50, 30, 70, 55), fill=(20, 60, 200))
    picture.save(out / "init.png", optimize=True)
    mask = Image.fromarray((255 / (1 + np.exp(30 * (np.hypot(x - 0.4, y - 0.5) - 0.3)))).astype(np.uint8))
    mask.save(out / "mask.png", optimize=True)


def run(out, case, precision):
    words = ["draw", str(out / case["generator"]), *case["arguments"], "-o", "unused.png", "--precision", precision]
    for option, path in case.get("paths", {}).items():
        words += [option, str(out / path)]
    return sd_reference.draw(sd_reference.make_parser().parse_args(words))


def make_case(out, name, case):
    dumps, images = zip(*(run(out, case, p) for p in ("f64", "f32", "exact")))
    tensors, golden = {}, {}
    for tensor, value in sorted(dumps[0].items()):
        step = step_for(value.shape)
        error = max(float((other[tensor] - value).abs().max()) for other in dumps[1:])
        tensors[tensor] = {"shape": list(value.shape), "dtype": "F32", "step": step, "scale": float(f"{value.abs().max():.4g}"),
                           "tolerance": {"f32": float(f"{error:.4g}")}}
        golden[tensor] = value.flatten()[::step].float().contiguous()
    folder = out / f"{name}.case"
    folder.mkdir(exist_ok=True)
    save_file(golden, folder / "golden.safetensors")
    (folder / "golden.safetensors").chmod(0o644)
    Image.fromarray(images[0]).save(folder / "golden.png", optimize=True)
    rows = ",\n".join(f"  {json.dumps(n)}: {json.dumps(t)}" for n, t in tensors.items())
    entries = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in case.items())
    (folder / "case.json").write_text(f"{{\n {entries},\n \"tensors\": {{\n{rows}\n }}\n}}\n", encoding="utf-8")
    worst = max(tensors, key=lambda n: tensors[n]["tolerance"]["f32"] / max(tensors[n]["scale"], 1e-30))
    share = max(float((other != images[0]).mean()) for other in images[1:])
    print(f"{name}: {len(tensors)} tensors, worst {worst} {tensors[worst]['tolerance']['f32'] / tensors[worst]['scale']:.1e} of its scale, "
          f"decoded std {float(dumps[0]['decoded'].std()):.2f}, {share:.2%} of the picture's levels differ")


def main():
    sd_reference.quiet()
    out, wanted = Path(sys.argv[1]), sys.argv[2:]
    recipes = json.loads((HERE / "sd_recipes.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    if not wanted:
        make_pictures(out)
    for name, config in recipes["generators"].items():
        if not wanted or name in wanted:
            sd_make_random.make_generator(config, out / name, HERE.parent / "data" / "tokenizers" / "clip")
            for file in (out / name).rglob("*.*"):
                file.chmod(0o644)
    for name, case in recipes["cases"].items():
        if not wanted or name in wanted:
            make_case(out, name, case)


if __name__ == "__main__":
    main()
