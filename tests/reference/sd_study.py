#!/usr/bin/env python3
"""Every scheduler with a picture, a mask and the refiner, and networks made for inpainting: the tool beside diffusers. Nothing is kept.

    sd_study.py TOOL FOLDER [PART...]

FOLDER is tests/data/sd. A tensor is right within max(8 · (distance of a float32 run from a float64 run), 1e-6 of its scale).
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

import sd_make_random
import sd_reference


def runs(folder, scratch):
    init, mask, refiner = str(folder / "init.png"), str(folder / "mask.png"), str(folder / "refiner")
    recipes = json.loads((Path(__file__).parent / "sd_recipes.json").read_text())["generators"]
    for name in ("sd", "sdxl"):
        wide = json.loads(json.dumps(recipes[name]))
        wide["unet"]["in_channels"] = 9
        sd_make_random.make_generator(wide, scratch / (name + "_9"), folder.parent / "tokenizers" / "clip")
    for scheduler in ("euler", "euler_a", "ddim", "dpmpp_2m", "lcm", "pndm"):
        common = ["--scheduler", scheduler, "--prompt", "a boat", "--size", "48x40"]
        for name in ("sd", "sdxl"):
            yield f"{name} init {scheduler}", str(folder / name), [*common, "--init", init, "--strength", "0.55", "--steps", "7"]
            yield f"{name} mask {scheduler}", str(folder / name), [*common, "--init", init, "--mask", mask, "--strength", "0.75", "--steps", "4"]
            yield f"{name} whole mask {scheduler}", str(folder / name), [*common, "--init", init, "--mask", mask, "--strength", "1", "--steps", "3"]
            yield (f"{name} inpainting network {scheduler}", str(scratch / (name + "_9")),
                   [*common, "--init", init, "--mask", mask, "--strength", "0.8" if name == "sdxl" else "1", "--steps", "3"])
        yield f"refiner {scheduler}", str(folder / "sdxl"), [*common, "--refiner", refiner, "--refiner-at", "0.6", "--steps", "6", "--negative", "rain"]
        yield (f"refiner from a picture {scheduler}", str(folder / "sdxl"),
               [*common, "--refiner", refiner, "--refiner-at", "0.7", "--steps", "8", "--init", init, "--strength", "0.8"])


def main():
    sd_reference.quiet()
    tool, folder, wanted = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:]
    scratch, bad = Path(tempfile.mkdtemp()), 0
    for name, generator, arguments in runs(folder, scratch):
        if wanted and not any(w in name for w in wanted):
            continue
        words = ["draw", generator, *arguments, "-o", "unused.png", "--precision"]
        (exact, picture), (single, _) = (sd_reference.draw(sd_reference.make_parser().parse_args([*words, p])) for p in ("f64", "f32"))
        out, dump = scratch / "out.png", scratch / "dump.safetensors"
        ran = subprocess.run([tool, "draw", generator, *arguments, "-o", out, "--dump", dump, "--progress", "never", "--threads", "1"],
                             capture_output=True, text=True)
        if ran.returncode:
            bad += 1
            print(name, "FAILED:", ran.stderr.strip(), flush=True)
            continue
        ours, worst = load_file(dump), {}
        for tensor, value in exact.items():
            allowed = max(8 * float((single[tensor] - value).abs().max()), 1e-6 * float(value.abs().max()), 1e-30)
            found = ours.get(tensor)
            worst[tensor] = float((found.double() - value).abs().max()) / allowed if found is not None and found.shape == value.shape else np.inf
        off = {t: round(w, 2) for t, w in worst.items() if not w <= 1} | {t: "unexpected" for t in ours if t not in exact}
        share = float((np.abs(np.asarray(Image.open(out)).astype(int) - picture) > 1).mean())
        bad += bool(off) or share > 0.005
        print(f"{name}: {'OFF ' + str(off) if off else 'right'}, worst {max(worst.values()):.2f} of what is allowed, {share:.2%} of the levels", flush=True)
    shutil.rmtree(scratch)
    print(f"{bad} wrong")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
