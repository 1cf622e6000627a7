#!/usr/bin/env python3
"""Makes the folders of tests/data/sd_weights: what a generator of tests/data/sd is opened with besides its own files (LoRA files, IP-Adapters),
original checkpoints as lists of names, and for each case the dump and the picture of diffusers.

    sd_make_weights.py GENERATORS OUT [NAME...]

GENERATORS is tests/data/sd. sd_weights.json says what is made and which arguments a case has; cases have the form of sd_make_cases.py, and
`paths` of OUT, of GENERATORS where they begin with @. An original checkpoint is too large to be committed: OUT/NAME.names has a line for each
tensor, name and shape, and its numbers follow from the name (`pseudo_weights`). Here it is written in full, and diffusers reads it by
from_single_file. Cases with LoRA files need peft, whose loading in this release of diffusers wants accelerate; those with adapters want it
absent. Its names are made from those of diffusers' own modules by the rules of the original code, turned round.
"""
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import sd_make_cases
import sd_make_random
import sd_reference

HERE = Path(__file__).resolve().parent


# ---- original checkpoints ------------------------------------------------------------------------------------------
def pseudo_weights(name, shape):
    """Numbers from the tensor's name: FNV-1a, then a mix of each position. Matrices have a unit gain, norms are near one."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    x = np.arange(math.prod(shape), dtype=np.uint64) * 0x9E3779B1 & 0xFFFFFFFF ^ h
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = (x ^ x >> np.uint64(shift)) * factor & 0xFFFFFFFF
    v = x.astype(np.float64) / 2**32 - 0.5
    if len(shape) > 1:
        v *= math.sqrt(12 / math.prod(shape[1:]))
    else:
        v = 0.2 * v + (1 if name.endswith("weight") else 0)
    return torch.from_numpy(v.astype(np.float32)).reshape(shape)


def replaced(name, pairs):
    for old, new in pairs:
        if name == old or name.startswith(old + "."):
            return new + name[len(old):]
    return name


def original_unet(name, config):
    """By the numbers of the original's flat lists of blocks."""
    resnet = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"), ("norm2", "out_layers.0"),
              ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")]
    per = config["layers_per_block"] + 1
    parts = name.split(".")
    if parts[0] == "mid_block":
        n, rest = int(parts[2]), ".".join(parts[3:])
        return f"middle_block.1.{rest}" if parts[1] == "attentions" else f"middle_block.{2 * n}.{replaced(rest, resnet)}"
    if parts[0] in ("down_blocks", "up_blocks"):
        down, block, kind, n, rest = parts[0] == "down_blocks", int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
        first = block * per + (1 if down else 0)
        side = "input_blocks" if down else "output_blocks"
        if kind == "downsamplers":
            return f"{side}.{first + per - 1}.0.op.{parts[5]}"
        if kind == "upsamplers":
            return f"{side}.{first + per - 1}.{2 if 'CrossAttn' in config['up_block_types'][block] else 1}.conv.{parts[5]}"
        return f"{side}.{first + n}.1.{rest}" if kind == "attentions" else f"{side}.{first + n}.0.{replaced(rest, resnet)}"
    return replaced(name, [("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
                           ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"), ("conv_norm_out", "out.0"),
                           ("conv_out", "out.2")])


def original_vae(name, config):
    levels = len(config["block_out_channels"])
    parts = name.split(".")
    if len(parts) < 3:
        return name
    half, rest = parts[0], parts[1:]
    if rest[0] == "conv_norm_out":
        return f"{half}.norm_out.{rest[1]}"
    if rest[0] == "mid_block" and rest[1] == "attentions":
        return f"{half}.mid.attn_1." + replaced(".".join(rest[3:]), [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
                                                                     ("to_out.0", "proj_out")])
    shortcut = [("conv_shortcut", "nin_shortcut")]
    if rest[0] == "mid_block":
        return f"{half}.mid.block_{int(rest[2]) + 1}." + replaced(".".join(rest[3:]), shortcut)
    if rest[0] in ("down_blocks", "up_blocks"):
        level = f"{half}.down.{rest[1]}" if rest[0] == "down_blocks" else f"{half}.up.{levels - 1 - int(rest[1])}"
        if rest[2] in ("downsamplers", "upsamplers"):
            return f"{level}.{rest[2][:-3]}e.conv.{rest[5]}"
        return f"{level}.block.{rest[3]}." + replaced(".".join(rest[4:]), shortcut)
    return name


def original_open_clip(state):
    """The names and shapes of OpenCLIP for those of transformers: one projection for queries, keys and values, the last one turned round."""
    out = {}
    for name, shape in state.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            out["text_projection"] = shape[::-1]
        elif name.startswith("encoder.layers."):
            n, rest = name.split(".")[2], ".".join(name.split(".")[3:])
            block = f"transformer.resblocks.{n}."
            if rest.startswith(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")):
                out[block + "attn.in_proj_" + rest.split(".")[-1]] = [3 * shape[0], *shape[1:]]
            else:
                out[block + replaced(rest, [("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
                                            ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")])] = shape
        else:
            out[replaced(name, [("embeddings.token_embedding.weight", "token_embedding.weight"),
                                ("embeddings.position_embedding.weight", "positional_embedding"), ("final_layer_norm", "ln_final")])] = shape
    return out


def shapes_of(module):
    return {n: list(t.shape) for n, t in module.state_dict().items() if t.is_floating_point()}


def make_original(out, name, config, generators):
    """OUT/NAME.names, and in a folder that is not kept the checkpoint, the configs and the vocabulary."""
    work = Path(tempfile.mkdtemp())
    index = {"_class_name": "StableDiffusionXLPipeline" if config["family"] == "sdxl" else "StableDiffusionPipeline", **config.get("model_index", {})}
    unet = diffusers.UNet2DConditionModel(**config["unet"])
    vae = diffusers.AutoencoderKL(**config["vae"])
    names = {"model.diffusion_model." + original_unet(n, config["unet"]): s for n, s in shapes_of(unet).items()}
    names |= {"first_stage_model." + original_vae(n, config["vae"]): [*s, 1, 1] if "mid_block.attentions.0.to_" in n and len(s) == 2 else s
              for n, s in shapes_of(vae).items()}
    unet.save_config(work / "unet"), vae.save_config(work / "vae")
    for part, prefix in config["text_prefixes"].items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        shutil.copytree(generators / "sd" / "tokenizer", work / tokenizer)
        open_clip = config[part]["hidden_act"] == "gelu"
        if open_clip:
            for file in ("tokenizer_config.json", "special_tokens_map.json"):
                said = json.loads((work / tokenizer / file).read_text()) | {"pad_token": "!"}
                (work / tokenizer / file).write_text(json.dumps(said))
        vocabulary = len(json.loads((work / tokenizer / "vocab.json").read_text()))
        cls = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
        text_config = CLIPTextConfig(**config[part], vocab_size=vocabulary, max_position_embeddings=77, bos_token_id=0, pad_token_id=1, eos_token_id=2,
                                     architectures=[cls.__name__])
        text_config.save_pretrained(work / part)
        state = shapes_of(cls(text_config))
        if open_clip:
            extra = dict(state)
            if config["family"] == "sd2":  # the layer that is left out, and the projection that nobody reads
                last = config[part]["num_hidden_layers"]
                extra |= {n.replace(f"layers.{last - 1}.", f"layers.{last}."): s for n, s in state.items() if f"layers.{last - 1}." in n}
                extra["text_projection.weight"] = [text_config.hidden_size, text_config.hidden_size]
            state = original_open_clip(extra)
        else:
            state = {n if n.startswith("text_model.") else "text_model." + n: s for n, s in state.items()}
        names |= {prefix + n: s for n, s in state.items()}
        index |= {tokenizer: ["transformers", "CLIPTokenizer"], part: ["transformers", cls.__name__]}
    (work / "scheduler").mkdir()
    (work / "scheduler" / "scheduler_config.json").write_text(json.dumps(config["scheduler"]))
    index |= {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", config["scheduler"]["_class_name"]]}
    if config["family"] != "sdxl":
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    (work / "model_index.json").write_text(json.dumps(index))
    (out / f"{name}.names").write_text("".join(f"{n} {','.join(map(str, s))}\n" for n, s in sorted(names.items())))
    save_file({n: pseudo_weights(n, s) for n, s in names.items()}, work / "model.safetensors")
    return work


# ---- LoRA files ----------------------------------------------------------------------------------------------------
def make_lora(out, name, config, generators):
    """Low-rank halves for the layers of `layers`: [spelling with %s for the ending, rows, columns, taps, alpha or null]. Normal numbers of
    a size that changes the layer's output by about `gain`."""
    state = {}
    for spelling, rows, columns, taps, alpha in config["layers"]:
        rank = config["rank"]
        down = sd_make_random.normal(spelling + "down", [rank, columns] + taps, config["seed"]) / math.sqrt(columns * max(1, math.prod(taps)))
        up = config["gain"] * sd_make_random.normal(spelling + "up", [rows, rank] + [1] * len(taps), config["seed"]) / math.sqrt(rank)
        down_end, up_end = config["endings"]
        state[spelling + down_end], state[spelling + up_end] = down.half(), up.half()
        if alpha is not None:
            state[spelling + ".alpha"] = torch.tensor(float(alpha))
    metadata = {"format": "pt"}
    if "adapter_metadata" in config:
        metadata["lora_adapter_metadata"] = json.dumps(config["adapter_metadata"])
    save_file({n: t.contiguous() for n, t in state.items()}, out / f"{name}.safetensors", metadata=metadata)
    (out / f"{name}.safetensors").chmod(0o644)


# ---- cases ---------------------------------------------------------------------------------------------------------
def main():
    sd_reference.quiet()
    generators, out, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    recipes = json.loads((HERE / "sd_weights.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    originals = {}

    def is_wanted(name):
        return not wanted or name in wanted

    for name, config in recipes["adapters"].items():
        if is_wanted(name):
            sd_make_random.make_adapter(config, generators / config["generator"], out / name)
            for file in (out / name).rglob("*.*"):
                file.chmod(0o644)
    for name, config in recipes["loras"].items():
        if is_wanted(name):
            make_lora(out, name, config, generators)

    def place(path):
        return generators / path[1:] if path.startswith("@") else out / path

    def run(_, case, precision):
        words = ["draw", "unused", *case["arguments"], "-o", "unused.png", "--precision", precision]
        for option, path in case.get("paths", {}).items():
            if option != "--tokenizer":
                words += [option, str(place(path))]
        options = sd_reference.make_parser().parse_args(words)
        original = case["generator"] if case["generator"] in recipes["originals"] else None
        if original and original not in originals:
            originals[original] = make_original(out, original, recipes["originals"][original], generators)
        options.generator = str(originals[original] if original else place(case["generator"]))
        whole = sd_reference.load_pipeline

        def load(folder, kind, how):
            if original:
                is_xl = recipes["originals"][original]["family"] == "sdxl"
                pipe = sd_reference.PIPELINES[is_xl, kind].from_single_file(str(folder / "model.safetensors"), config=str(folder), local_files_only=True,
                                                                            torch_dtype=torch.float32)
                pipe.set_progress_bar_config(disable=True)
                pipe.vae.register_to_config(force_upcast=False)
            else:
                pipe, is_xl = whole(folder, kind, "f32")
            for n, (file, scale) in enumerate(case.get("loras", [])):
                pipe.load_lora_weights(str(out), weight_name=file, adapter_name=f"lora_{n}")
            if "loras" in case:
                pipe.set_adapters([f"lora_{n}" for n in range(len(case["loras"]))], [s for _, s in case["loras"]])
            return pipe.to(torch.float32 if how == "f32" else torch.float64), is_xl

        sd_reference.load_pipeline = load
        try:
            return sd_reference.draw(options)
        finally:
            sd_reference.load_pipeline = whole

    sd_make_cases.run = run
    for name, case in recipes["cases"].items():
        if is_wanted(name):
            sd_make_cases.make_case(out, name, case)
            (out / f"{name}.case" / "golden.png").unlink()  # `decoded` says more


if __name__ == "__main__":
    main()
