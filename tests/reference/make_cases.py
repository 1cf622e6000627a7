"""Makes the random model folders of tests/data/mgm with their goldens, from recipes.json and the texts beside it.

    python make_cases.py OUT [NAME]...        (packages: requirements.txt)

Each entry of recipes.json holds
  recipe    what mgm_make_random.py reads; keys left out come from "common" (clip, convnext and config are merged key by key)
  case      prompt, template, max_new_tokens, exif, clip, openclip: what mgm_make_golden.py reads
  pictures  [width, height, kind] each, drawn here; kind png, or jpeg with an EXIF orientation of 6
  weights   index (default: safetensors with an index), single (one safetensors, no index), zip or legacy (PyTorch shards with an index)
  clip_form, openclip_form   safetensors, zip or legacy: how the towers' own folders are stored
  drop      keys to take out of config.json
A seed whose greedy choices or choices of experts are too close for a fair comparison is passed over; the one taken stands in OUT/NAME/recipe.json.
"""
import copy
import json
import math
import random
import shutil
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

import mgm_make_golden
import mgm_make_random
import mgm_make_tokenizers
import mgm_reference

HERE = Path(__file__).parent
FAMILIES = dict(vicuna=mgm_make_tokenizers.make_vicuna, yi=mgm_make_tokenizers.make_yi, gemma=mgm_make_tokenizers.make_gemma,
                mixtral=mgm_make_tokenizers.make_mixtral, llama3=mgm_make_tokenizers.make_llama3)


def draw_picture(path, width, height, kind, seed):
    """Shapes with sharp edges over a slanted wash of colour."""
    dice = random.Random(seed)
    ends = [[dice.randrange(256) for _ in range(3)] for _ in range(3)]
    image = Image.new("RGB", (width, height))
    image.putdata([tuple((ends[0][c] * (width - x) * 2 + ends[1][c] * x + ends[2][c] * y * 2) // (2 * width + 2 * height) for c in range(3))
                   for y in range(height) for x in range(width)])
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        w, h = dice.randrange(width // 8, width // 2), dice.randrange(height // 8, height // 2)
        x, y = dice.randrange(width - w), dice.randrange(height - h)
        shape = dice.choice([draw.ellipse, draw.rectangle, draw.line])
        shape((x, y, x + w, y + h), fill=tuple(dice.randrange(256) for _ in range(3)))
    if kind == "jpeg":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, quality=85, exif=exif)
    else:
        image.save(path, optimize=True)


def mining_tensors(draw, config, gain):
    """As mgm_make_random's, and the projector `identity`, which has no tensors."""
    if config["mm_projector_type"] != "identity":
        return real_mining_tensors(draw, config, gain)
    every = real_mining_tensors(draw, {**config, "mm_projector_type": "linear"}, gain)
    return OrderedDict((k, v) for k, v in every.items() if not k.startswith("mm_projector"))


real_mining_tensors, mgm_make_random.mining_tensors = mgm_make_random.mining_tensors, mining_tensors


def merged(common, own):
    """`own` over `common`, the objects inside key by key."""
    out = copy.deepcopy(common)
    for key, value in own.items():
        out[key] = {**out[key], **value} if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def restore_weights(model, form):
    """Stores the shards of `model` in another form."""
    index = model / "model.safetensors.index.json"
    shards = sorted(model.glob("model-*.safetensors"))
    if form == "single":
        save_file({k: v for s in shards for k, v in load_file(s).items()}, model / "model.safetensors", metadata={"format": "pt"})
        index.unlink()
    else:
        for shard in shards:
            torch.save(OrderedDict(load_file(shard)), model / f"pytorch_{shard.stem}.bin", _use_new_zipfile_serialization=form == "zip")
        text = index.read_text().replace('"model-', '"pytorch_model-').replace(".safetensors", ".bin")
        (model / "pytorch_model.bin.index.json").write_text(text)
        index.unlink()
    for shard in shards:
        shard.unlink()


def restore_tower(path, form):
    """Stores a tower's file in another form; `path` is what mgm_make_random.py wrote."""
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    path.unlink()
    if form == "safetensors":
        name = "open_clip_model.safetensors" if "open_clip" in path.name else "model.safetensors"
        save_file({k.removeprefix("module."): v.contiguous() for k, v in state.get("state_dict", state).items()}, path.with_name(name))
    else:
        name = "open_clip_pytorch_model.bin" if "open_clip" in path.name else "pytorch_model.bin"
        torch.save(state, path.with_name(name), _use_new_zipfile_serialization=form == "zip")


def write_model(entry, recipe, model, tokenizers):
    """The model folder of one entry."""
    mgm_make_random.make(recipe, model, tokenizers)
    if entry.get("weights", "index") != "index":
        restore_weights(model, entry["weights"])
    for key, pattern in ("clip_form", "model_zoo/**/*clip-vit*/*"), ("openclip_form", "model_zoo/**/*openclip*/open_clip*"):
        for path in [p for p in model.glob(pattern) if p.suffix in (".bin", ".safetensors")] if key in entry else []:
            restore_tower(path, entry[key])
    for index in model.glob("*.index.json"):
        index.write_text(json.dumps(json.loads(index.read_text()), separators=(",", ":")) + "\n")
    config = json.loads((model / "config.json").read_text())
    for key in entry.get("drop", []):
        config.pop(key, None)
    (model / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def make_case(folder, common, entry, tokenizers, attempts=60):
    """Folder, pictures and goldens of one entry; tries seeds upward until the choices are clear."""
    recipe = merged(common, entry["recipe"])
    for attempt in range(attempts):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_model(entry, recipe, folder / "model", tokenizers)
        names = []
        for i, (width, height, kind) in enumerate(entry.get("pictures", [])):
            names.append(f"picture_{i + 1}.{'jpg' if kind == 'jpeg' else kind}")
            draw_picture(folder / names[-1], width, height, kind, recipe["seed"] + i)
        case = {"model": "model", "images": names, "template": None, "max_new_tokens": 8, "exif": "apply", **entry["case"]}
        (folder / "case.json").write_text(json.dumps(case))
        try:
            return recipe["seed"], *mgm_make_golden.make(folder)
        except SystemExit as close:
            print(f"  seed {recipe['seed']}: {close}", flush=True)
            recipe["seed"] += 1
    raise SystemExit(f"{folder}: no seed of {attempts} gives clear choices")


def make_tokenizers(out):
    """The five small tokenizers, from the texts beside this file; with fewer pieces than usual, since tables of embeddings take most bytes."""
    lines = [line for path in sorted((HERE / "text").glob("*.txt")) for line in path.read_text().splitlines() if line.strip()]
    train, learn = mgm_make_tokenizers.sentencepiece_model, mgm_make_tokenizers.whole_segment_bpe
    mgm_make_tokenizers.sentencepiece_model = lambda folder, lines, vocabulary, *rest: train(folder, lines, 400, *rest)
    mgm_make_tokenizers.whole_segment_bpe = lambda lines, heads, learned: learn(lines, heads, 140)
    for name, make in FAMILIES.items():
        make(out / name, lines)


def main():
    torch.set_num_threads(1)
    mgm_make_golden.KEEP = 800  # numbers kept of each tensor: small files
    out, names = Path(sys.argv[1]), sys.argv[2:]
    recipes = json.loads((HERE / "recipes.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        make_tokenizers(Path(scratch))
        for name, entry in recipes["cases"].items():
            if names and name not in names:
                continue
            seed, case, _ = make_case(out / name, recipes["common"], entry, Path(scratch))
            (out / name / "recipe.json").write_text(json.dumps({**entry, "recipe": {**entry["recipe"], "seed": seed}}, indent=1) + "\n")
            size = sum(p.stat().st_size for p in (out / name).rglob("*") if p.is_file())
            worst = max(t["tolerance"]["f32"] / max(t["scale"], 1e-30) for t in case["tensors"].values() if "scale" in t)
            print(f"{name}: {size / 1000:.0f} kB, seed {seed}, margin {min(case['margins'], default=math.inf):.3f}, "
                  f"router {case.get('router_margin')}, worst f32 error over scale {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
