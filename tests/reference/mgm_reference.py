"""Mini-Gemini in plain PyTorch: the oracle for the tensors that `mgm dump` writes.

    python mgm_reference.py dump MODEL [--image F]... --prompt TEXT -o OUT.safetensors
           [--template NAME] [--max-new-tokens N] [--dtype f64|f32|bf16] [--clip DIR] [--openclip DIR] [--exif apply|ignore]

MODEL is an original MGM folder of any size. Every formula is the naive one: the high-resolution maps are upsampled and concatenated,
keys and values are projected, the decoder recomputes the whole sequence at every step and keeps no cache. In f64 nothing is rounded
to float32 in between, except the pixels, whose float32 values are part of the definition. bf16 rounds after every operation, with
norms and softmax in f32, and serves to measure what an implementation in bf16 may lose.
The packages that were used are in requirements-mgm.txt; transformers serves only for tokenizers.
"""
import argparse
import json
import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import save_file

DTYPES = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16}
IMAGE_ID, IMAGE_TAG = -200, "<image>"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


# ---------------------------------------------------------------------------------------------------------------- weights
class Weights:
    """Tensors by name, read when asked for and cast to the working type. `under(p)` is the part whose names begin with p."""

    def __init__(self, readers, dtype, prefix=""):
        self.readers, self.dtype, self.prefix = readers, dtype, prefix

    def __call__(self, name):
        return self.readers[self.prefix + name]().to(self.dtype)

    def rows(self, name, ids):
        """Rows of a table, so that a large table is never cast as a whole."""
        return self.readers[self.prefix + name]()[ids].to(self.dtype)

    def has(self, name):
        return self.prefix + name in self.readers

    def shape(self, name):
        return tuple(self.readers[self.prefix + name]().shape)

    def under(self, prefix):
        return Weights(self.readers, self.dtype, self.prefix + prefix)

    def count(self, pattern):
        """How many consecutive values 0, 1, … of `{}` in the pattern name a tensor."""
        n = 0
        while self.has(pattern.format(n)):
            n += 1
        return n


def open_file(path):
    """name -> function that reads the tensor, for a .safetensors or a PyTorch .bin file."""
    if path.suffix == ".safetensors":
        handle = safe_open(str(path), "pt")
        return {k: partial(handle.get_tensor, k) for k in handle.keys()}
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {k.removeprefix("module."): (lambda t=t: t) for k, t in state.items() if torch.is_tensor(t)}


def open_folder(folder, names=("model.safetensors", "pytorch_model.bin")):
    """All tensors of a checkpoint folder: every shard that an index names, or the single file."""
    for name in names:
        index = folder / (name + ".index.json")
        if index.exists():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            return {k: v for shard in shards for k, v in open_file(folder / shard).items()}
        if (folder / name).exists():
            return open_file(folder / name)
    raise FileNotFoundError(f"{folder}: none of {names}, no index")


def tower_folder(model, named, override):
    """The folder given on the command line, or the one that config.json names, relative to MODEL and then to the working directory."""
    if override:
        return Path(override)
    for folder in (model / (named or "-"), Path(named or "-")):
        if folder.is_dir():
            return folder
    return None


def load_clip(model, config, checkpoint, override, dtype):
    """Weights under `vision_model.` and the numbers of the low-resolution tower."""
    folder, inside = tower_folder(model, config.get("mm_vision_tower"), override), "model.vision_tower.vision_tower.vision_model."
    if not override and any(k.startswith(inside) for k in checkpoint):
        w = Weights(checkpoint, dtype, inside)
    else:
        w = Weights(open_folder(folder), dtype, "vision_model.")
    width, _, patch, _ = w.shape("embeddings.patch_embedding.weight")
    side = math.isqrt(w.shape("embeddings.position_embedding.weight")[0] - 1)
    cfg = dict(num_hidden_layers=w.count("encoder.layers.{}.layer_norm1.weight"), num_attention_heads=max(1, width // 64),
               image_size=side * patch, patch_size=patch, hidden_act="quick_gelu", layer_norm_eps=1e-5)
    if folder and (folder / "config.json").exists():
        stored = json.loads((folder / "config.json").read_text())
        cfg.update({k: v for k, v in stored.get("vision_config", stored).items() if k in cfg})
    return w, cfg


def load_convnext(model, config, checkpoint, override, dtype):
    """Weights with the names stem.* and stages.*, and the LayerNorm epsilon, of the high-resolution tower."""
    folder, inside = tower_folder(model, config.get("mm_vision_tower_aux"), override), "model.vision_tower_aux.vision_"
    if not override and any(k.startswith(inside) for k in checkpoint):
        w = Weights(checkpoint, dtype, inside)
    else:
        w = Weights(open_folder(folder, ("open_clip_pytorch_model.bin", "open_clip_model.safetensors")), dtype, "visual.trunk.")
    xxlarge = w.shape("stem.0.weight")[0] == 384 and w.count("stages.2.blocks.{}.gamma") == 30
    return w, 1e-5 if xxlarge else 1e-6


# ----------------------------------------------------------------------------------------------------------------- pixels
def preprocess(path, size, aspect, exif):
    """One picture -> float32 [3, S, S]: RGB, padded to a square (or cut), bicubic to S, rescaled, normalised."""
    image = Image.open(path)
    image = (ImageOps.exif_transpose(image) if exif == "apply" else image).convert("RGB")
    if aspect == "pad" and image.width != image.height:
        side = max(image.size)
        canvas = Image.new("RGB", (side, side), tuple(int(255 * m) for m in MEAN))
        canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = canvas
    short, long = min(image.size), max(image.size)
    other = size * long // short
    image = image.resize((size, other) if image.width <= image.height else (other, size), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    levels = np.asarray(image.crop((left, top, left + size, top + size)))
    values = (levels * (1 / 255)).astype(np.float32)
    values = (values - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    return torch.from_numpy(values.transpose(2, 0, 1).copy())


def bilinear(x, side):
    """[B, C, h, w] -> [B, C, side, side]: half-pixel centres, replicated border, no antialiasing."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.interpolate(x.to(wide), size=(side, side), mode="bilinear", align_corners=False).to(x.dtype)


def low_res_views(aux, side, grid, with_global):
    """Aux image [3, S, S] -> views [V, 3, side, side]: the image itself, or in HD the crops in row order and then the global view."""
    low = bilinear(aux[None], side * grid)
    if grid == 1:
        return low
    views = [low[:, :, side * r:side * (r + 1), side * c:side * (c + 1)] for r in range(grid) for c in range(grid)]
    return torch.cat(views + [bilinear(low, side)] * with_global)


# ----------------------------------------------------------------------------------------------------------- vision towers
def linear(x, w, name):
    """x·Wᵀ + b; the bias may be absent, and the weight may be stored as a 1×1 convolution."""
    weight = w(name + ".weight")
    return F.linear(x, weight.flatten(1), w(name + ".bias") if w.has(name + ".bias") else None)


def layer_norm(x, w, name, eps):
    """LayerNorm over the last axis, computed in at least float32."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.layer_norm(x.to(wide), x.shape[-1:], w(name + ".weight").to(wide), w(name + ".bias").to(wide), eps).to(x.dtype)


def softmax(x):
    """Softmax over the last axis, computed in at least float32."""
    return x.softmax(-1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)


def clip_features(w, cfg, views, select):
    """[V, 3, s, s] -> [V, T, C]: recorded state `select` of (after pre-LN, after layer 0, …), without its class token."""
    layers, heads, eps = cfg["num_hidden_layers"], cfg["num_attention_heads"], cfg["layer_norm_eps"]
    act = {"quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu": F.gelu}[cfg["hidden_act"]]
    patches = F.conv2d(views, w("embeddings.patch_embedding.weight"), stride=cfg["patch_size"]).flatten(2).transpose(1, 2)
    start = w("embeddings.class_embedding").expand(len(views), 1, -1)
    h = torch.cat([start, patches], 1) + w("embeddings.position_embedding.weight")               # [V, 1 + T, C]
    h = layer_norm(h, w, "pre_layrnorm", eps)
    for i in range(select if select >= 0 else layers + 1 + select):
        layer = w.under(f"encoder.layers.{i}.")
        a = layer_norm(h, layer, "layer_norm1", eps)
        q, k, v = (linear(a, layer, f"self_attn.{n}_proj").unflatten(-1, (heads, -1)).transpose(1, 2) for n in "qkv")
        a = softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)) @ v                         # [V, heads, 1 + T, d]
        h = h + linear(a.transpose(1, 2).flatten(2), layer, "self_attn.out_proj")
        h = h + linear(act(linear(layer_norm(h, layer, "layer_norm2", eps), layer, "mlp.fc1")), layer, "mlp.fc2")
    return h[:, 1:]


def convnext_stages(w, eps, image):
    """[1, 3, S, S] -> the four maps [1, C_i, S / 2^(i+2), ·] after the blocks of each stage."""
    def channels_norm(x, name):
        return layer_norm(x.permute(0, 2, 3, 1), w, name, eps).permute(0, 3, 1, 2)
    x = channels_norm(F.conv2d(image, w("stem.0.weight"), w("stem.0.bias"), stride=4), "stem.1")
    maps = []
    for i in range(w.count("stages.{}.blocks.0.gamma")):
        if i > 0:
            at = f"stages.{i}.downsample"
            x = F.conv2d(channels_norm(x, at + ".0"), w(at + ".1.weight"), w(at + ".1.bias"), stride=2)
        for j in range(w.count(f"stages.{i}.blocks.{{}}.gamma")):
            at = f"stages.{i}.blocks.{j}"
            y = F.conv2d(x, w(at + ".conv_dw.weight"), w(at + ".conv_dw.bias"), padding=3, groups=x.shape[1])
            y = layer_norm(y.permute(0, 2, 3, 1), w, at + ".norm", eps)
            y = linear(F.gelu(linear(y, w, at + ".mlp.fc1")), w, at + ".mlp.fc2")
            x = x + (w(at + ".gamma") * y).permute(0, 3, 1, 2)
        maps.append(x)
    return maps


# ----------------------------------------------------------------------------------------------------- patch info mining
def mining_scores(w, coarse, fine):
    """coarse [T, C], fine [F, h, h] -> scores [T, M] and the cells [T, M, F] that lie under each token, row by row."""
    side = math.isqrt(len(coarse))
    cell = fine.shape[-1] // side
    cells = fine.unflatten(1, (side, cell)).unflatten(3, (side, cell)).permute(1, 3, 2, 4, 0).flatten(2, 3).flatten(0, 1)
    query = linear(layer_norm(coarse, w, "vlm_uni_query_projector.0", 1e-5), w, "vlm_uni_query_projector.1")
    key = linear(layer_norm(cells, w, "vlm_uni_aux_projector.0", 1e-5), w, "vlm_uni_aux_projector.1")
    scores = (key / math.sqrt(key.shape[-1]) @ query[:, :, None])[:, :, 0]
    return scores.nan_to_num(), cells


def mine(w, coarse, fine):
    """C + M for one view: each token takes a softmax mean over the values of the cells under it."""
    scores, cells = mining_scores(w, coarse, fine)
    value = linear(layer_norm(cells, w, "vlm_uni_val_projector.0", 1e-5), w, "vlm_uni_val_projector.1")    # [T, M, C]
    return coarse + (softmax(scores)[:, None] @ value)[:, 0]


def mine_views(w, coarse, maps, grid, with_global):
    """coarse [V, T, C] in the order of the views, four maps of the whole image -> [tokens, C], global view first."""
    fine = torch.cat([maps[0]] + [bilinear(m, maps[0].shape[-1]) for m in maps[1:]], 1)                    # [1, F, S/4, S/4]
    if grid == 1:
        return mine(w, coarse[0], fine[0])
    side = fine.shape[-1] // grid
    tokens = [mine(w, coarse[-1], bilinear(fine, side)[0])] if with_global else []
    for r in range(grid):
        for c in range(grid):
            crop = fine[0, :, side * r:side * (r + 1), side * c:side * (c + 1)]
            tokens.append(mine(w, coarse[grid * r + c], crop))
    return torch.cat(tokens)


def project(w, kind, x):
    """mm_projector: identity, linear, or N Linear layers with exact GELU between them."""
    if kind == "identity":
        return x
    if kind == "linear":
        return linear(x, w, "mm_projector")
    for i in range(int(re.fullmatch(r"mlp(\d+)x_gelu", kind)[1])):
        x = linear(F.gelu(x) if i else x, w, f"mm_projector.{2 * i}")
    return x


# ------------------------------------------------------------------------------------------------------------------ text
def build_prompt(text, template, images):
    """The finished prompt of one user turn with `images` pictures, without BOS; two or more image tags are numbered."""
    turn = (IMAGE_TAG + "\n") * images + text
    prompt = {
        "vicuna_v1": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
                     "detailed, and polite answers to the user's questions. USER: " + turn + " ASSISTANT:",
        "gemma": "<start_of_turn>user\n" + turn + "<end_of_turn>\n<start_of_turn>model\n",
        "llama_3": "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and vision assistant. You are able to "
                   "understand the visual content that the user provides, and assist the user with a variety of tasks using natural "
                   "language.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n" + turn
                   + "<|eot_id|><|start_header_id|>system<|end_header_id|>\n\n",
        "mistral_instruct": "[INST] " + turn + " [/INST]",
        "chatml_direct": "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n" + turn
                         + "<|im_end|><|im_start|>assistant\n",
    }[template]
    parts = prompt.split(IMAGE_TAG)
    if len(parts) < 3:
        return prompt
    return "".join(f"{part}Image {i + 1}:{IMAGE_TAG}" for i, part in enumerate(parts[:-1])) + parts[-1]


def default_template(config):
    """By decoder family and vocabulary size."""
    if "mixtral" in config["model_type"]:
        return "mistral_instruct"
    if "gemma" in config["model_type"]:
        return "gemma"
    return {64000: "chatml_direct", 128256: "llama_3"}.get(config["vocab_size"], "vicuna_v1")


def load_tokenizer(model, config):
    """The original's tokenizer: the fast one for Gemma and Mixtral, the slow one (SentencePiece, where it exists) for the others."""
    from transformers import AutoTokenizer, logging
    logging.set_verbosity_error()
    fast = any(f in config["model_type"] for f in ("gemma", "mixtral"))
    tokenizer = AutoTokenizer.from_pretrained(str(model), use_fast=fast)
    if config.get("mm_use_im_patch_token", True):
        tokenizer.add_tokens(["<im_patch>"], special_tokens=True)
    if config.get("mm_use_im_start_end", False):
        tokenizer.add_tokens(["<im_start>", "<im_end>"], special_tokens=True)
    return tokenizer


def prompt_ids(prompt, tokenizer):
    """Ids of the chunks between the image tags, each tokenized on its own, joined with -200; at most one BOS, in front."""
    chunks = [tokenizer(chunk).input_ids for chunk in prompt.split(IMAGE_TAG)]
    bos = chunks[0][:1] if chunks[0][:1] == [tokenizer.bos_token_id] else []
    ids = list(bos)
    for i, chunk in enumerate(chunks):
        ids += ([IMAGE_ID] if i else []) + chunk[len(bos):]
    return ids


def stop_ids(tokenizer, template):
    """End of sequence, and the end of a turn where the template has one of its own."""
    names = {"gemma": ["<end_of_turn>"], "llama_3": ["<|end_of_text|>", "<|eot_id|>"], "chatml_direct": ["<|im_end|>", "<|endoftext|>"]}
    vocabulary = tokenizer.get_vocab()
    return {tokenizer.eos_token_id} | {vocabulary[n] for n in names.get(template, []) if n in vocabulary}


# --------------------------------------------------------------------------------------------------------------- decoder
def rms_norm(x, w, name, eps, gemma):
    """x / sqrt(mean x² + ε), times w, or for Gemma times 1 + w before the cast to the working type."""
    wide = torch.promote_types(x.dtype, torch.float32)
    y, weight = x.to(wide), w(name + ".weight")
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)
    return (y * (1 + weight.to(wide))).to(x.dtype) if gemma else weight * y.to(x.dtype)


def rotate(x, theta):
    """Rotary positions 0, 1, … on x [heads, P, d]: channel i of the first half is paired with channel i of the second."""
    wide = torch.promote_types(x.dtype, torch.float32)
    half = x.shape[-1] // 2
    angle = torch.outer(torch.arange(x.shape[1], dtype=wide), theta ** (-torch.arange(half, dtype=wide) / half))   # [P, d/2]
    cos, sin, a, b = angle.cos().to(x.dtype), angle.sin().to(x.dtype), x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def mixture(w, n, top):
    """Mixtral's feed-forward on n [P, H]: the `top` most probable experts, their probabilities divided by their sum."""
    p, chosen = softmax(linear(n, w, "gate").to(torch.promote_types(n.dtype, torch.float32))).topk(top, -1)
    p, y = (p / p.sum(-1, keepdim=True)).to(n.dtype), torch.zeros_like(n)
    for e in range(w.count("experts.{}.w1.weight")):
        row, slot = (chosen == e).nonzero(as_tuple=True)
        if len(row):
            x, expert = n[row], w.under(f"experts.{e}.")
            y[row] += p[row, slot, None] * linear(F.silu(linear(x, expert, "w1")) * linear(x, expert, "w3"), expert, "w2")
    return y


def decoder(w, config, x):
    """Embeddings [P, H] -> states after the final norm [P, H]; causal attention, images and text alike."""
    gemma, eps = "gemma" in config["model_type"], config["rms_norm_eps"]
    heads, width = config["num_attention_heads"], x.shape[1]
    groups = heads // config.get("num_key_value_heads", heads)
    dim = config["head_dim"] if gemma else width // heads
    act = F.silu if not gemma else partial(F.gelu, approximate="none" if config.get("hidden_activation") == "gelu" else "tanh")
    if gemma:
        x = x * torch.tensor(width ** 0.5, dtype=x.dtype)
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    for i in range(config["num_hidden_layers"]):
        layer = w.under(f"layers.{i}.")
        n = rms_norm(x, layer, "input_layernorm", eps, gemma)
        q, k, v = (linear(n, layer, f"self_attn.{m}_proj").unflatten(-1, (-1, dim)).transpose(0, 1) for m in "qkv")
        q, k = rotate(q, config["rope_theta"]), rotate(k, config["rope_theta"])
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)                              # [heads, P, d]
        a = softmax((q @ k.transpose(1, 2) / math.sqrt(dim)).masked_fill(future, -math.inf)) @ v
        x = x + linear(a.transpose(0, 1).flatten(1), layer, "self_attn.o_proj")
        n = rms_norm(x, layer, "post_attention_layernorm", eps, gemma)
        if "mixtral" in config["model_type"]:
            x = x + mixture(layer.under("block_sparse_moe."), n, config["num_experts_per_tok"])
        else:
            gate, up = linear(n, layer, "mlp.gate_proj"), linear(n, layer, "mlp.up_proj")
            x = x + linear(act(gate) * up, layer, "mlp.down_proj")
    return rms_norm(x, w, "norm", eps, gemma)


# ------------------------------------------------------------------------------------------------------------ whole model
def read_config(model):
    """config.json, with the defaults of the original's config classes for keys that are absent."""
    config = {"rope_theta": 10000.0, "rms_norm_eps": 1e-6, "image_grid": 1, "image_global": False, "mm_projector_type": "linear",
              "num_experts_per_tok": 2, **json.loads((model / "config.json").read_text())}
    config.setdefault("tie_word_embeddings", "gemma" in config["model_type"])
    return config


@torch.no_grad()
def run(model, images, prompt, template=None, max_new_tokens=16, dtype=torch.float64, clip=None, openclip=None, exif="apply"):
    """All tensors of `mgm dump` by name, in the working type, and the list of (margin, scale) of the greedy choices."""
    model, out = Path(model), {}
    config = read_config(model)
    template = template or default_template(config)
    checkpoint = open_folder(model)
    w = Weights(checkpoint, dtype, "model.")
    grid, with_global = config["image_grid"] or 1, bool(config["image_global"])
    if images:
        clip_w, clip_cfg = load_clip(model, config, checkpoint, clip, dtype)
        aux_w, aux_eps = load_convnext(model, config, checkpoint, openclip, dtype)
        per_image = []
        for path in images:
            aux = preprocess(path, config["image_size_aux"], config.get("image_aspect_ratio"), exif).to(dtype)
            views = low_res_views(aux, clip_cfg["image_size"], grid, with_global)
            coarse = clip_features(clip_w, clip_cfg, views, config["mm_vision_select_layer"])
            maps = convnext_stages(aux_w, aux_eps, aux[None])
            mined = mine_views(w, coarse, maps, grid, with_global)
            per_image.append({"images_aux": aux, "images": views, "vision_tower": coarse,
                              **{f"vision_tower_aux.stage_{i}": m[0] for i, m in enumerate(maps)},
                              "mined": mined, "projected": project(w, config["mm_projector_type"], mined)})
        out = {name: torch.stack([one[name] for one in per_image]) for name in per_image[0]}

    tokenizer = load_tokenizer(model, config)
    ids = prompt_ids(build_prompt(prompt, template, len(images)), tokenizer)
    if ids.count(IMAGE_ID) != len(images):
        raise ValueError(f"{ids.count(IMAGE_ID)} image tags in the prompt, {len(images)} images")
    pictures, rows = iter(out.get("projected", [])), []
    for i in ids:
        rows.append(next(pictures) if i == IMAGE_ID else w.rows("embed_tokens.weight", [i]))
    x = torch.cat(rows)
    if images:
        x = x[:config.get("tokenizer_model_max_length")]
    tied = config["tie_word_embeddings"] or "lm_head.weight" not in checkpoint
    head = Weights(checkpoint, dtype)("model.embed_tokens.weight" if tied else "lm_head.weight")[:len(tokenizer)]  # original cuts it
    out["input_ids"], out["inputs_embeds"] = torch.tensor(ids), x

    out["hidden_states.last"] = decoder(w, config, x)
    out["logits"] = logits = F.linear(out["hidden_states.last"][-1], head)
    new, margins, stops = [], [], stop_ids(tokenizer, template)
    while len(new) < max_new_tokens and not (new and new[-1] in stops):
        if new:
            x = torch.cat([x, w.rows("embed_tokens.weight", new[-1:])])
            logits = F.linear(decoder(w, config, x)[-1], head)
        best = logits.topk(2)
        new.append(int(best.indices[0]))
        margins.append((float(best.values[0] - best.values[1]), float(logits.abs().max())))
    out["new_tokens"] = torch.tensor(new, dtype=torch.int64)
    return out, margins


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["dump"])
    parser.add_argument("model")
    parser.add_argument("--image", action="append", default=[])
    parser.add_argument("--prompt", required=True)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--template")
    parser.add_argument("--max-new-tokens", type=int, default=512)
    parser.add_argument("--dtype", choices=DTYPES, default="f64")
    parser.add_argument("--clip")
    parser.add_argument("--openclip")
    parser.add_argument("--exif", choices=["apply", "ignore"], default="apply")
    a = parser.parse_args()
    out, _ = run(a.model, a.image, a.prompt, a.template, a.max_new_tokens, DTYPES[a.dtype], a.clip, a.openclip, a.exif)
    save_file({k: (t if t.dtype == torch.int64 else t.float()).contiguous() for k, t in out.items()}, a.output)


if __name__ == "__main__":
    main()
