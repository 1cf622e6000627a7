"""Draws random model folders of many shapes, families, types and settings, and compares the tool with the reference on each.

    python study.py TOOL [--count N] [--first SEED] [--keep DIR]        (packages: requirements.txt)

Prints a line a folder: the largest error over what is allowed, in f32, bf16, f16 and in f32 on the portable path; a folder that is not
equal is kept in DIR and described. Ends with status 1 when there was one. What is allowed stands in README.md.
"""
import argparse
import json
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors, save_file as save_tensors

import make_cases
import mgm_make_golden

PROMPTS = ["", "</s> is an <unk> end", "What is on the table?", "How many boats are there? Count: 1, 2, 3.", "Describe the picture.\n\nUse one line.", " Where?", "naïve café, 日本 😀",
           "a  b   c\t\n", "It's the 2nd box (of 12), isn't it?", "x"]
TOKENIZERS = {"llama": ["vicuna", "vicuna", "yi", "llama3"], "gemma": ["gemma"], "mixtral": ["mixtral"]}
TEMPLATES = {"yi": "chatml_direct", "llama3": "llama_3"}
LENGTHS = {"vicuna": 400, "yi": 400, "llama3": 490, "gemma": 411, "mixtral": 398}


def draw_entry(seed):
    """One entry of the form of recipes.json."""
    d = random.Random(seed)
    family = d.choice(["llama", "llama", "gemma", "mixtral"])
    tokenizer = d.choice(TOKENIZERS[family])
    groups, share, dim = d.choice([1, 1, 2, 3]), d.choice([1, 2, 3, 4]), d.choice([4, 6, 8, 10, 12, 16, 16, 20, 32, 64])
    heads = groups * share
    hidden = d.choice([24, 33, 40, 51, 64, 72]) if family == "gemma" else heads * dim
    grid = d.choice([1, 1, 1, 2, 2, 3])
    side, patch = d.choice([2, 3, 4, 5]), d.choice([2, 4, 5, 7, 14])
    cells = d.choice([c for c in range(1, 9) if 8 <= side * grid * c <= 48])
    clip_heads, clip_dim = d.choice([1, 2, 3, 4]), d.choice([4, 5, 8, 12, 16, 24])
    layers = d.choice([2, 3, 4])
    projector = d.choice(["mlp2x_gelu", "mlp2x_gelu", "linear", "mlp1x_gelu", "mlp3x_gelu", "mlp4x_gelu", "identity"])
    if projector == "identity":
        clip_heads, clip_dim = 1, hidden
    extra = d.choice([0, 0, 1, 7])
    old = d.random() < 0.25
    kind = {"llama": "", "gemma": "_gemma", "mixtral": "_mixtral"}[family]
    config = {
        "model_type": ("mini_gemini" if old else "mgm") + kind, "hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": groups,
        "intermediate_size": d.randrange(17, 130), "num_hidden_layers": d.choice([1, 2, 3]), "vocab_size": LENGTHS[tokenizer] + extra,
        "image_size_aux": 4 * side * grid * cells + d.choice([0, 0, 0, 1, 3]), "image_grid": grid, "image_global": grid > 1 and d.random() < 0.6,
        "mm_projector_type": projector, "image_aspect_ratio": d.choice(["pad", "pad", "square", None]),
        "mm_vision_select_layer": d.choice([-2, -2, -2, -1, -layers, 1]), "rope_theta": d.choice([100.0, 1e4, 5e5, 5e6]),
        "rms_norm_eps": d.choice([1e-6, 1e-5, 1e-3]), "tokenizer_model_max_length": d.choice([4096, 4096, 4096, 60, 130])}
    if old:
        config["architectures"] = [{"": "MiniGeminiLlamaForCausalLM", "_gemma": "MiniGeminiGemmaForCausalLM",
                                    "_mixtral": "MiniGeminiMixtralForCausalLM"}[kind]]
    if family == "gemma":
        config["head_dim"] = dim
        if d.random() < 0.5:
            config["hidden_activation"] = d.choice(["gelu", "gelu_pytorch_tanh"])
    if family == "mixtral":
        config["num_local_experts"] = d.choice([3, 4, 5, 8])
        config["num_experts_per_tok"] = d.randrange(1, config["num_local_experts"])
    recipe = {"seed": 7919 * seed, "tokenizer": tokenizer, "storage": d.choice(["bf16", "f16", "f32"]), "tower_storage": d.choice(["bf16", "f16", "f32"]),
              "shards": d.choice([1, 2, 3, 5]), "scatter": d.random() < 0.5, "old_keys": d.random() < 0.3, "tower_scale": d.choice([1, 1, 0.3, 0.05]),
              "mining_gain": d.choice([0.5, 3, 8]), "config": config,
              "clip": {"hidden_size": clip_heads * clip_dim, "num_attention_heads": clip_heads, "num_hidden_layers": layers, "patch_size": patch,
                       "image_size": patch * side, "intermediate_size": d.randrange(13, 90)},
              "convnext": {"depths": [d.choice([1, 2, 3]) for _ in range(4)], "widths": [d.randrange(3, 41) for _ in range(4)]}}
    if d.random() < 0.3:
        recipe["clip"].update(hidden_act="gelu", layer_norm_eps=d.choice([1e-6, 1e-5, 1e-3]))
    if family == "llama" and d.random() < 0.3:
        recipe["tie"] = True
    inside = d.random() < 0.6
    recipe["towers_in_checkpoint"] = inside
    if not inside or d.random() < 0.6 or "hidden_act" in recipe["clip"] or clip_dim != 64:  # without a folder heads are 64 wide
        recipe["clip_file"] = d.choice(["model.safetensors", "pytorch_model.bin"])
        recipe["clip_nested"] = d.random() < 0.6
    if not inside or d.random() < 0.4:
        recipe["openclip_file"], recipe["openclip_wrapped"] = True, d.random() < 0.4
    case = {"prompt": d.choice(PROMPTS), "max_new_tokens": d.choice([0, 1, 6, 12]), "exif": d.choice(["apply", "ignore"])}
    if d.random() < 0.75 and tokenizer in TEMPLATES:
        case["template"] = TEMPLATES[tokenizer]
    for key, file, folder in (("clip", "clip_file", "clip-vit-small-patch14"), ("openclip", "openclip_file", "openclip-convnext-large-d-320-small")):
        if recipe.get(file) and d.random() < 0.4:
            case[key] = "model/model_zoo/OpenAI/" + folder
    pictures = [[d.randrange(16, 150), d.randrange(16, 150), d.choice(["png", "png", "jpeg"])] for _ in range(d.choice([0, 1, 1, 1, 2, 3]))]
    entry = {"recipe": recipe, "pictures": pictures, "case": case, "drop": [],
             "weights": d.choice(["index", "index", "single", "zip", "legacy"])}
    for key, file in (("clip_form", "clip_file"), ("openclip_form", "openclip_file")):
        if recipe.get(file) and d.random() < 0.6:
            entry[key] = d.choice(["safetensors", "zip", "legacy"])
    if d.random() < 0.3:
        entry["drop"] += [k for k in ("image_grid", "image_global") if grid == 1]
    if extra and d.random() < 0.4:
        entry["drop"].append("mm_use_im_patch_token")
    if extra == 7 and d.random() < 0.4:
        config["mm_use_im_start_end"] = True
    return entry


def edit(model, changes, seed):
    """Odd but lawful folders: config keys set, an output table that is absent or need not be there, a decoder alone."""
    config = json.loads((model / "config.json").read_text())
    config.update(changes.get("set", {}))
    if changes.get("plain"):
        config = {k: v for k, v in config.items() if not k.startswith(("mm_", "image_", "tune_", "freeze_", "optimize_", "use_mm", "tokenizer_"))}
        config["model_type"] = changes["plain"]
        config.pop("architectures")
    (model / "config.json").write_text(json.dumps(config))
    index = json.loads((model / "model.safetensors.index.json").read_text())
    for shard in sorted(set(index["weight_map"].values())):
        tensors = load_tensors(model / shard)
        if changes.get("plain"):
            tensors = {k: v for k, v in tensors.items() if not any(p in k for p in ("vision_tower", "mm_projector", "vlm_uni"))}
        if changes.get("head") == "absent":
            tensors.pop("lm_head.weight", None)
        if changes.get("head") == "unused" and "model.embed_tokens.weight" in tensors:
            shape = tensors["model.embed_tokens.weight"].shape
            tensors["lm_head.weight"] = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)
        index["weight_map"] = {k: f for k, f in index["weight_map"].items() if f != shard} | {k: shard for k in tensors}
        save_tensors(tensors, model / shard, metadata={"format": "pt"})
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def draw_changes(d, entry):
    """What `edit` shall do, for a third of the folders."""
    config, recipe, changes = entry["recipe"]["config"], entry["recipe"], {}
    if d.random() > 0.35:
        return changes
    entry["weights"] = "index"
    kind = d.choice(["head", "plain", "defaults", "heads_of_64"])
    if kind == "head":
        changes["head"] = "unused" if recipe.get("tie") or "gemma" in config["model_type"] else "absent"
    elif kind == "plain":
        changes["plain"] = {"mgm": "llama", "mgm_gemma": "gemma", "mgm_mixtral": "mixtral"}[config["model_type"].replace("mini_gemini", "mgm")]
        entry["pictures"], entry["drop"] = [], []
        for key in ("clip", "openclip"):
            entry["case"].pop(key, None)
        config["vocab_size"] = LENGTHS[recipe["tokenizer"]]
        config.pop("mm_use_im_start_end", None)
    elif kind == "defaults":
        entry["drop"] += ["rms_norm_eps", "rope_theta", "tokenizer_model_max_length", "image_aspect_ratio", "tie_word_embeddings", "torch_dtype",
                          "num_experts_per_tok", "rope_scaling", "hidden_act", "mm_hidden_size", "mm_hidden_size_aux", "mm_use_im_start_end"]
        if config["num_attention_heads"] == config["num_key_value_heads"]:
            entry["drop"].append("num_key_value_heads")
        if config["image_grid"] == 1:
            changes["set"] = {"image_grid": None, "image_global": True}
    else:
        recipe.update(towers_in_checkpoint=True, clip_file=None)
        entry["case"].pop("clip", None)
        entry.pop("clip_form", None)
        recipe["clip"] = {k: v for k, v in recipe["clip"].items() if k not in ("hidden_act", "layer_norm_eps")}
        if config["mm_projector_type"] != "identity":
            width = d.choice([24, 64, 128])
            recipe["clip"].update(hidden_size=width, num_attention_heads=max(1, width // 64))
        elif recipe["clip"]["hidden_size"] >= 128:
            config["mm_projector_type"] = "linear"
    return changes


def compare(tool, folder, dtype, more=()):
    """The largest error over what is allowed, and what is wrong."""
    case, wrong, worst = json.loads((folder / "case.json").read_text()), [], 0.0
    out = folder / "dump.safetensors"
    command = [tool, "dump", folder / case["model"], "--prompt", case["prompt"], "-o", out, "--dtype", dtype, "--progress", "never",
               "--max-new-tokens", str(case["max_new_tokens"]), "--exif", case["exif"], *more]
    for image in case["images"]:
        command += ["--image", folder / image]
    for key in ("template", "clip", "openclip"):
        if case.get(key):
            command += ["--" + key, case[key] if key == "template" else folder / case[key]]
    ran = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if ran.returncode:
        return 0.0, [f"status {ran.returncode}: {ran.stderr.strip()}"]
    found, golden = load_file(out), load_file(folder / "golden.safetensors")
    wrong += [f"{name} is not expected" for name in found if name not in case["tensors"]]
    for name, t in case["tensors"].items():
        if name not in found or list(found[name].shape) != t["shape"]:
            wrong.append(f"{name}: {'missing' if name not in found else found[name].shape}, expected {t['shape']}")
        elif t["dtype"] == "I64":
            if (dtype == "f32" or name != "new_tokens") and found[name].tolist() != golden[name].tolist():
                wrong.append(f"{name}: {found[name].tolist()}, expected {golden[name].tolist()}")
        elif found[name].size:
            off = np.abs(found[name].ravel()[::t["step"]].astype(np.float64) - golden[name])
            f32 = dtype == "f32"
            allowed = max(8 * t["tolerance"]["f32"], 1e-6 * t["scale"]) if f32 else max(4 * t["tolerance"]["bf16"], t["scale"] / 128)
            bad = int((~(off <= allowed)).sum())
            worst = max(worst, float(off.max() / allowed))
            spared = off.size // 30 if name == "hidden_states.last" and "router_margin" in case and not f32 else 0  # an expert may change
            if bad > spared:
                wrong.append(f"{name}: {bad} of {off.size} off, by up to {off.max() / allowed:.3g} of what is allowed")
    return worst, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("study"))
    a = parser.parse_args()
    torch.set_num_threads(1)
    write_model = make_cases.write_model
    mgm_make_golden.KEEP = 4000
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        make_cases.make_tokenizers(scratch / "tokenizers")
        for seed in range(a.first, a.first + a.count):
            entry, folder = draw_entry(seed), scratch / f"case_{seed}"
            changes = draw_changes(random.Random(f"changes {seed}"), entry)
            make_cases.write_model = lambda *a, c=changes: (write_model(*a), edit(a[2], c, seed) if c else None)
            try:
                _, case, _ = make_cases.make_case(folder, {}, entry, scratch / "tokenizers", attempts=12)
            except SystemExit as unclear:
                print(seed, "left out:", unclear, flush=True)
                continue
            results = {"f32": compare(a.tool, folder, "f32"), "bf16": compare(a.tool, folder, "bf16"),
                       "portable": compare(a.tool, folder, "f32", ("--isa", "portable")), "f16": compare(a.tool, folder, "f16")}
            config = entry["recipe"]["config"]
            print(seed, config["model_type"], entry["recipe"]["tokenizer"], f"H{config['hidden_size']} grid {config['image_grid']}",
                  f"S {config['image_size_aux']} {config['mm_projector_type']} {len(case['images'])} pictures:",
                  changes or "", *(f"{name} {worst:.2f}" for name, (worst, _) in results.items()), flush=True)
            wrong = [f"    {name}: {w}" for name, (_, lines) in results.items() for w in lines]
            if wrong:
                print(*wrong, sep="\n", flush=True)
                failed.append(seed)
                a.keep.mkdir(parents=True, exist_ok=True)
                shutil.copytree(folder, a.keep / folder.name, dirs_exist_ok=True)
            shutil.rmtree(folder)
    print(f"{len(failed)} of {a.count} not equal: {failed}")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
