"""MGM folders of the original layout: written from a network, and read again.

    python folder.py STATE OUT          writes the folder from a state file of `speak.py`
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from network import MEAN, MGM, STD, Sizes

CLIP = "model_zoo/OpenAI/clip-vit-tiny-patch4-32"
CONVNEXT = "model_zoo/OpenAI/openclip-convnext-large-d-320-tiny"
WEIGHTS = "model.safetensors"
BESIDE = Path(__file__).resolve().parent
TOKENIZER = BESIDE.parent / "mgm-tiny" / "tokenizer.model"


def configs(s):
    """config.json of the folder, and those of CLIP's folder, by path."""
    main = dict(
        architectures=["MGMLlamaForCausalLM"], model_type="mgm", torch_dtype="bfloat16", hidden_act="silu", hidden_size=s.hidden,
        intermediate_size=s.ffn, num_hidden_layers=s.layers, num_attention_heads=s.heads, num_key_value_heads=s.heads,
        vocab_size=s.vocabulary, rope_theta=s.theta, rope_scaling=None, rms_norm_eps=s.epsilon, max_position_embeddings=s.positions,
        attention_bias=False, attention_dropout=0.0, pretraining_tp=1, tie_word_embeddings=False, use_cache=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
        mm_vision_tower=CLIP, mm_vision_tower_aux=CONVNEXT, mm_hidden_size=s.width, mm_hidden_size_aux=sum(s.widths),
        mm_projector_type="mlp2x_gelu", mm_vision_select_layer=-2, mm_vision_select_feature="patch", image_size_aux=s.side,
        image_grid=1, image_global=False, image_aspect_ratio="pad", image_grid_pinpoints=None, optimize_vision_tower=False,
        optimize_vision_tower_aux=False, mm_use_im_start_end=False, mm_use_im_patch_token=False, use_mm_proj=True,
        tune_mm_mlp_adapter=False, freeze_mm_mlp_adapter=False, mm_projector_lr=None,
        tokenizer_model_max_length=s.positions, tokenizer_padding_side="right")
    clip = dict(model_type="clip", vision_config=dict(
        model_type="clip_vision_model", hidden_size=s.width, intermediate_size=s.clip_ffn, num_hidden_layers=s.clip_layers,
        num_attention_heads=s.clip_heads, image_size=s.low, patch_size=s.patch, hidden_act="quick_gelu", layer_norm_eps=1e-5))
    pixels = dict(image_processor_type="CLIPImageProcessor", size=s.low, crop_size=s.low, do_resize=True, do_center_crop=True,
                  do_normalize=True, do_convert_rgb=True, resample=3,
                  image_mean=[round(v, 8) for v in MEAN.flatten().tolist()], image_std=[round(v, 8) for v in STD.flatten().tolist()])
    words = dict(tokenizer_class="LlamaTokenizer", legacy=False, add_bos_token=True, add_eos_token=False, bos_token="<s>",
                 eos_token="</s>", unk_token="<unk>", model_max_length=s.positions, padding_side="right",
                 clean_up_tokenization_spaces=False)
    marks = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>")
    return {"config.json": main, f"{CLIP}/config.json": clip, f"{CLIP}/preprocessor_config.json": pixels,
            "tokenizer_config.json": words, "special_tokens_map.json": marks}


def write(net, out, tokenizer=TOKENIZER):
    """Writes the folder: weights in bf16 with their index, configs, tokenizer. Nothing else in `out` is touched."""
    out = Path(out)
    tensors = {k: t.to(torch.bfloat16).contiguous() for k, t in net.state_dict().items()}
    tensors["lm_head.weight"] = tensors["lm_head.weight"].clone()                                  # may be tied while training
    for name, content in configs(net.sizes).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
    save_file(tensors, out / (WEIGHTS + ".part"), metadata={"format": "pt"})
    (out / (WEIGHTS + ".part")).replace(out / WEIGHTS)
    index = dict(metadata=dict(total_size=sum(2 * t.numel() for t in tensors.values())), weight_map=dict.fromkeys(sorted(tensors), WEIGHTS))
    (out / (WEIGHTS + ".index.json")).write_text(json.dumps(index, indent=1) + "\n")
    if not (out / "tokenizer.model").exists() or not (out / "tokenizer.model").samefile(tokenizer):
        shutil.copyfile(tokenizer, out / "tokenizer.model")


def read(path):
    """The network of a folder that `write` made, in f32. ValueError where its sizes are others than this trainer makes; only the number
    of the decoder's layers is free."""
    path = Path(path)
    here = json.loads((path / "config.json").read_text())
    net = MGM(Sizes(layers=here["num_hidden_layers"]))
    for key, wanted in configs(net.sizes)["config.json"].items():
        if isinstance(wanted, (int, float)) and here.get(key) != wanted:
            raise ValueError(f"{path}/config.json: {key} is {here.get(key)}, this trainer makes {wanted}")
    net.load_state_dict({k: t.float() for k, t in load_file(path / WEIGHTS).items()})
    return net


if __name__ == "__main__":
    from states import load
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state")
    parser.add_argument("out")
    parser.add_argument("--tokenizer", default=TOKENIZER)
    given = parser.parse_args()
    state = load(given.state, stage="speak")
    trained = MGM(Sizes(layers=state["layers"]))
    trained.load_state_dict({**state["network"], **state["average"]})
    write(trained.tie(), given.out, given.tokenizer)
