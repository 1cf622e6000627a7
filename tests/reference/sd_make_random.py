#!/usr/bin/env python3
"""Small random checkpoints in the true layout of SDXL, its refiner, SDXL-Turbo, SD 1.5, SD 2.1 and IP-Adapter.

    sd_make_random.py generator CONFIG.json OUT_DIR
    sd_make_random.py adapter   CONFIG.json GENERATOR_DIR OUT_DIR

The models are the real classes of diffusers and transformers with small configs, saved by their own save_pretrained; the vocabulary is
our own, tests/data/tokenizers/clip. Keys of CONFIG.json: `generators` of sd_recipes.json, and README.md. The same config and seed give
the same weights.
"""
import argparse
import json
import math
import shutil
import zlib
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
                          CLIPVisionModelWithProjection)

DATA = Path(__file__).resolve().parent.parent / "data"  # of the tests
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


# ---- weights -------------------------------------------------------------------------------------------------------
# Layers that write into a residual stream are small, so the stream has a variance near 1e-3 and the eps of the norm
# that reads it (1e-5 or 1e-6) is visible in the result. All others keep a unit variance.
STREAM = 0.05
UNET_GAINS = [  # first match wins: part of the name, gain of the weight, standard deviation of the bias
    ("conv_in.", STREAM, 0.4 * STREAM), ("conv_shortcut", 1, 0.4 * STREAM), ("samplers.0.conv", 1, 0.4 * STREAM),
    ("time_emb_proj", 2 * STREAM, STREAM), ("conv1", STREAM, 0.4 * STREAM), ("conv2", STREAM, 0.4 * STREAM),
    ("time_embedding", 1.4, 0.3), ("add_embedding", 1.4, 0.3),
    ("attn2.to_out.0", 3 * STREAM, 0.4 * STREAM), ("attn1.to_out.0", 1.5 * STREAM, 0.4 * STREAM),
    ("ff.net.2", 2 * STREAM, 0.4 * STREAM), ("proj_in", STREAM, 0.4 * STREAM), ("proj_out", 2 * STREAM, 0.4 * STREAM),
    ("to_q", 1.4, 0.1), ("to_k", 1.4, 0.1), ("to_k_ip", 1.4, 0.1)]
VAE_GAINS = [
    ("decoder.conv_in", 0.002, 0.4 * STREAM), ("conv_in", STREAM, 0.4 * STREAM), ("conv_shortcut", 1, 0.4 * STREAM),
    ("samplers.0.conv", 1, 0.4 * STREAM), ("conv1", STREAM, 0.4 * STREAM), ("conv2", STREAM, 0.4 * STREAM),
    ("to_out.0", STREAM, 0.4 * STREAM), ("to_q", 1.4, 0.3), ("to_k", 1.4, 0.3)]
CLIP_GAINS = [("q_proj", 1.4, 0.3), ("k_proj", 1.4, 0.3), ("out_proj", 0.6, 0.1), ("fc1", 1.2, 0.3), ("fc2", 0.8, 0.1),
              ("patch_embedding", STREAM, 0)]
ADAPTER_GAINS = [("to_k_ip", 1.4, 0), ("layers.", 1, 0.1)]


def normal(name, shape, seed):
    """Unit normal numbers that depend on the name and the seed alone."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) * 1000003 + seed)
    return torch.randn(tuple(shape), generator=generator)


def draw_tensor(name, shape, seed, gains):
    noise = normal(name, shape, seed)
    if "embedding" in name and not name.startswith(("time_", "add_")) and name.split(".")[-2] != "patch_embedding":
        return 0.03 * noise                                          # tables of CLIP, small as in the trained ones
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + 0.2 * noise                                       # scales of norms
    is_norm_bias = "norm" in name.split(".")[-2] if "." in name else False
    gain, bias = next((g[1:] for g in gains if g[0] in name), (1, 0.1))
    if len(shape) == 1:
        return (0.1 if is_norm_bias else bias) * noise
    return gain / math.sqrt(math.prod(shape[1:])) * noise


@torch.no_grad()
def draw_weights(model, seed, gains):
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(draw_tensor(name, tensor.shape, seed, gains))
    return model.eval()


def round_to_two_digits(x):
    return float(f"{x:.1e}")


@torch.no_grad()
def scale_last_layer(layer, output, wanted):
    """Gives the model's output the wanted standard deviation; the rounding keeps the factor the same on all machines."""
    factor = round_to_two_digits(wanted / output.double().std().item())
    layer.weight *= factor
    layer.bias *= factor


# ---- the parts of a generator folder -------------------------------------------------------------------------------
def make_tokenizer(folder, merges, pad, source):
    """A CLIP vocabulary cut to its first merges: 256 bytes, 256 bytes at a word's end, the merges, two specials."""
    folder.mkdir(parents=True)
    whole = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
    by_id = sorted(whole, key=whole.get)
    tokens = by_id[:512 + merges] + by_id[-2:]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), encoding="utf-8")
    lines = (source / "merges.txt").read_text(encoding="utf-8").split("\n")
    (folder / "merges.txt").write_text("\n".join(lines[:1 + merges]) + "\n", encoding="utf-8")
    content = json.loads((source / "tokenizer_config.json").read_text())
    content |= {"pad_token": pad, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(content, indent=2) + "\n")
    special = {"bos_token": tokens[-2], "eos_token": tokens[-1], "unk_token": tokens[-1], "pad_token": pad}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    return len(tokens)


def make_text_encoder(folder, config, vocabulary, seed, dtype, variant, projection, position_ids):
    # bos, pad and eos of the published configs are the legacy values 0, 1 and 2, which are no ids of the vocabulary
    config = CLIPTextConfig(**config, vocab_size=vocabulary, max_position_embeddings=77, bos_token_id=0, pad_token_id=1,
                            eos_token_id=2)
    model = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)
    draw_weights(model, seed, CLIP_GAINS).to(dtype).save_pretrained(folder, variant=variant)
    # Checkpoints in circulation call every tensor text_model.…; transformers 5 leaves the prefix out when it saves.
    file = next(folder.glob("*.safetensors"))
    state = {k if k.startswith(("text_model.", "text_projection.")) else "text_model." + k: v for k, v in load_file(file).items()}
    if position_ids:
        state["text_model.embeddings.position_ids"] = torch.arange(77).reshape(1, 77)
    save_file(state, file, metadata={"format": "pt"})
    return model.float()


def make_unet(folder, config, seed, dtype, variant, shard_bytes, wanted_std, numbers):
    model = draw_weights(UNet2DConditionModel(**config), seed, UNET_GAINS)
    size = 2 * config["sample_size"]
    width = model.config.cross_attention_dim
    extra = {}
    if model.config.addition_embed_type == "text_time":
        numbers = [8. * size, 8 * size, 0, 0, 8 * size, 8 * size] if numbers == 6 else [8. * size, 8 * size, 0, 0, 6]
        pooled = model.config.projection_class_embeddings_input_dim - len(numbers) * model.config.addition_time_embed_dim
        extra = {"text_embeds": normal("pooled", (1, pooled), seed), "time_ids": torch.tensor([numbers])}
    condition = None if model.config.time_cond_proj_dim is None else normal("w", (1, model.config.time_cond_proj_dim), seed)
    with torch.no_grad():
        output = model(normal("sample", (1, model.config.in_channels, size, size), seed), 500, normal("text", (1, 77, width), seed),
                       timestep_cond=condition, added_cond_kwargs=extra).sample
    scale_last_layer(model.conv_out, output, wanted_std)
    model.to(dtype).save_pretrained(folder, variant=variant, max_shard_size=shard_bytes or "10GB")


def make_vae(folder, config, seed, dtype, variant, legacy_names):
    model = draw_weights(AutoencoderKL(**config), seed, VAE_GAINS)
    with torch.no_grad():
        output = model.decode(20 * normal("z", (1, 4, 16, 16), seed)).sample
    scale_last_layer(model.decoder.conv_out, output, 0.45)
    model.to(dtype).save_pretrained(folder, variant=variant)
    if legacy_names:  # the names of the VAE files of 2022
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        file = next(folder.glob("*.safetensors"))
        state = load_file(file)
        for new, name in old.items():
            for key in [k for k in state if f"attentions.0.{new}." in k]:
                state[key.replace(new, name)] = state.pop(key)
        save_file(state, file, metadata={"format": "pt"})


def drop_keys(folder, keys):
    """Old configs lack keys; a reader must then take the defaults."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in config.items() if k not in keys}, indent=2) + "\n")


def make_generator(config, out, tokenizer_source):
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    seed, variant, storage = config["seed"], config.get("variant"), config.get("storage", {})
    dtype = {part: DTYPES[storage.get(part, storage.get("all", "f32"))] for part in ("text_encoder", "text_encoder_2", "unet", "vae")}
    encoders = [n for n in ("text_encoder", "text_encoder_2") if n in config]
    is_refiner = encoders == ["text_encoder_2"]
    kind = "XLImg2Img" if is_refiner else "XL" if len(encoders) == 2 else ""
    index = {"_class_name": f"StableDiffusion{kind}Pipeline", "_diffusers_version": "0.19.0"}
    if is_refiner:
        index |= {"text_encoder": [None, None], "tokenizer": [None, None]}
    index |= config.get("model_index", {})
    for n, name in enumerate(encoders):
        tokenizer = name.replace("text_encoder", "tokenizer")
        vocabulary = make_tokenizer(out / tokenizer, config["merges"], config["pad_tokens"][n], tokenizer_source)
        projection = name == "text_encoder_2"
        make_text_encoder(out / name, config[name], vocabulary, seed + 1 + n, dtype[name], variant, projection, config.get("position_ids", False))
        index[tokenizer] = ["transformers", "CLIPTokenizer"]
        index[name] = ["transformers", "CLIPTextModelWithProjection" if projection else "CLIPTextModel"]
    make_unet(out / "unet", config["unet"], seed + 3, dtype["unet"], variant, config.get("unet_shard_bytes"), config.get("noise_std", 1.0),
              5 if is_refiner else 6)
    make_vae(out / "vae", config["vae"], seed + 4, dtype["vae"], variant, config.get("vae_legacy_names", False))
    for part, keys in config.get("drop_config_keys", {}).items():
        drop_keys(out / part, keys)
    (out / "scheduler").mkdir()
    (out / "scheduler" / "scheduler_config.json").write_text(json.dumps(config["scheduler"], indent=2) + "\n")
    index |= {"scheduler": ["diffusers", config["scheduler"]["_class_name"]], "unet": ["diffusers", "UNet2DConditionModel"],
              "vae": ["diffusers", "AutoencoderKL"]}
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


# ---- IP-Adapter ----------------------------------------------------------------------------------------------------
def resampler_shapes(width, heads, queries, input_width, output_width, depth=4):
    inner = 64 * heads
    shapes = {"latents": (1, queries, width), "proj_in.weight": (width, input_width), "proj_in.bias": (width,),
              "proj_out.weight": (output_width, width), "proj_out.bias": (output_width,),
              "norm_out.weight": (output_width,), "norm_out.bias": (output_width,)}
    for i in range(depth):
        shapes |= {f"layers.{i}.0.norm1.weight": (width,), f"layers.{i}.0.norm1.bias": (width,),
                   f"layers.{i}.0.norm2.weight": (width,), f"layers.{i}.0.norm2.bias": (width,),
                   f"layers.{i}.0.to_q.weight": (inner, width), f"layers.{i}.0.to_kv.weight": (2 * inner, width),
                   f"layers.{i}.0.to_out.weight": (width, inner), f"layers.{i}.1.0.weight": (width,),
                   f"layers.{i}.1.0.bias": (width,), f"layers.{i}.1.1.weight": (4 * width, width),
                   f"layers.{i}.1.3.weight": (width, 4 * width)}
    return shapes


def cross_attention_widths(unet):
    """Width of every cross-attention layer in the adapter's order: down, up, mid."""
    names = [n for n in unet.attn_processors if "attn2" in n]
    ordered = [n for part in ("down", "up", "mid") for n in names if n.startswith(part)]
    return [unet.get_submodule(n.removesuffix(".processor")).to_k.weight.shape[0] for n in ordered]


def make_adapter(config, generator, out):
    seed, dtype = config["seed"], DTYPES[config.get("storage", "f16")]
    if out.exists():
        shutil.rmtree(out)
    unet_config = json.loads((generator / "unet" / "config.json").read_text())
    unet = UNet2DConditionModel.from_config(unet_config)
    text_width = unet.config.cross_attention_dim
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config["image_encoder"]))
    draw_weights(encoder, seed, CLIP_GAINS).to(dtype).save_pretrained(out / "image_encoder")
    vision = config["image_encoder"]
    if config["kind"] == "linear":
        shapes = {"proj.weight": (config["tokens"] * text_width, vision["projection_dim"]), "proj.bias": (config["tokens"] * text_width,),
                  "norm.weight": (text_width,), "norm.bias": (text_width,)}
    else:
        shapes = resampler_shapes(config["width"], config["heads"], config["tokens"], vision["hidden_size"], text_width)
    shapes = {"image_proj." + k: v for k, v in shapes.items()}
    for n, width in enumerate(cross_attention_widths(unet)):
        for kind in ("k", "v"):
            shapes[f"ip_adapter.{2 * n + 1}.to_{kind}_ip.weight"] = (width, text_width)
    state = {}
    for name, shape in shapes.items():
        is_norm = len(shape) == 1 and name.endswith("weight")
        state[name] = (1 + 0.2 * normal(name, shape, seed) if is_norm else draw_tensor(name, shape, seed, ADAPTER_GAINS)).to(dtype).contiguous()
    save_file(state, out / config["file"], metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("generator")
    one.add_argument("config", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--clip-tokenizer", type=Path, default=DATA / "tokenizers" / "clip")
    two = commands.add_parser("adapter")
    two.add_argument("config", type=Path)
    two.add_argument("generator", type=Path)
    two.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = json.loads(arguments.config.read_text())
    if arguments.command == "generator":
        make_generator(config, arguments.out, arguments.clip_tokenizer)
    else:
        make_adapter(config, arguments.generator, arguments.out)
    for file in arguments.out.rglob("*.*"):
        if file.is_file():
            file.chmod(0o644)  # weights are saved for their owner alone


if __name__ == "__main__":
    main()
