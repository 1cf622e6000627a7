"""Generator folders of the original diffusers layout (Stable Diffusion 1.5): written from networks, and read again.

    python painter_folder.py OUT --captions captions.state --sketch sketch.state --paint paint.state      any of them: the rest stays
    python painter_folder.py OUT --draw "a red circle at the top on a grey background" -o OUT.png

Weights are f16. What has no state yet starts at random, so a folder can be looked at before all stages are done.
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import captions
from painter import Autoencoder, PainterSizes, TextEncoder, Unet
from states import fits, guarded, load

PARTS = dict(text_encoder="text_encoder/model.safetensors", vae="vae/diffusion_pytorch_model.safetensors",
             unet="unet/diffusion_pytorch_model.safetensors")


def configs(s, vocabulary, scaling):
    """The JSON files of a folder by path."""
    mark = {name: dict(content=content, lstrip=False, normalized=True, rstrip=False, single_word=False)
            for name, content in (("bos_token", captions.START), ("eos_token", captions.END), ("unk_token", captions.END))}
    start, end = vocabulary[captions.START], vocabulary[captions.END]
    return {
        "model_index.json": dict(
            _class_name="StableDiffusionPipeline", _diffusers_version="0.19.0", feature_extractor=[None, None], safety_checker=[None, None],
            requires_safety_checker=False, tokenizer=["transformers", "CLIPTokenizer"], text_encoder=["transformers", "CLIPTextModel"],
            scheduler=["diffusers", "DDIMScheduler"], unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"]),
        "scheduler/scheduler_config.json": dict(
            _class_name="DDIMScheduler", _diffusers_version="0.19.0", beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085,
            clip_sample=False, num_train_timesteps=1000, prediction_type="v_prediction", rescale_betas_zero_snr=True,
            set_alpha_to_one=False, steps_offset=1, timestep_spacing="trailing", trained_betas=None),
        "tokenizer/tokenizer_config.json": dict(
            tokenizer_class="CLIPTokenizer", model_max_length=s.words, do_lower_case=True, add_prefix_space=False, errors="replace",
            clean_up_tokenization_spaces=True, pad_token=captions.END, **{k: dict(v, __type="AddedToken") for k, v in mark.items()}),
        "tokenizer/special_tokens_map.json": dict(mark, pad_token=captions.END),
        "text_encoder/config.json": dict(
            architectures=["CLIPTextModel"], model_type="clip_text_model", hidden_act="quick_gelu", hidden_size=s.text_width,
            intermediate_size=s.text_ffn, num_attention_heads=s.text_heads, num_hidden_layers=s.text_layers, layer_norm_eps=1e-5,
            max_position_embeddings=s.words, vocab_size=len(vocabulary), projection_dim=s.text_width, bos_token_id=start, eos_token_id=end,
            pad_token_id=end, attention_dropout=0.0, initializer_factor=1.0, initializer_range=0.02, torch_dtype="float16"),
        "unet/config.json": dict(
            _class_name="UNet2DConditionModel", _diffusers_version="0.19.0", act_fn="silu", attention_head_dim=s.unet_heads,
            block_out_channels=list(s.unet_widths), center_input_sample=False, cross_attention_dim=s.text_width,
            down_block_types=["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2, downsample_padding=1,
            flip_sin_to_cos=True, freq_shift=0, in_channels=s.latents, out_channels=s.latents, layers_per_block=1,
            mid_block_scale_factor=1, norm_eps=1e-5, norm_num_groups=s.unet_groups, sample_size=s.grid),
        "vae/config.json": dict(
            _class_name="AutoencoderKL", _diffusers_version="0.19.0", act_fn="silu", block_out_channels=list(s.vae_widths),
            down_block_types=["DownEncoderBlock2D"] * len(s.vae_widths), up_block_types=["UpDecoderBlock2D"] * len(s.vae_widths),
            in_channels=3, out_channels=3, latent_channels=s.latents, layers_per_block=1, norm_num_groups=s.vae_groups,
            sample_size=s.side, scaling_factor=scaling)}


def networks(s=PainterSizes()):
    vocabulary = captions.CaptionTokenizer().vocabulary
    return dict(text_encoder=TextEncoder(s, len(vocabulary)), vae=Autoencoder(s), unet=Unet(s))


def write(nets, out, scaling, s=PainterSizes()):
    """Writes the folder: three networks as f16, the tokenizer, the configs."""
    out, tokenizer = Path(out), captions.CaptionTokenizer()
    for name, content in configs(s, tokenizer.vocabulary, scaling).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
    (out / "tokenizer/vocab.json").write_text(json.dumps(tokenizer.vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "tokenizer/merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in tokenizer.merges), encoding="utf-8")
    for part, name in PARTS.items():
        tensors = {k: t.half().contiguous() for k, t in nets[part].state_dict().items()}
        save_file(tensors, out / (name + ".part"), metadata={"format": "pt"})
        (out / (name + ".part")).replace(out / name)


def read(path, s=PainterSizes()):
    """-> the three networks of a folder that `write` made, in f32, and "scaling". ValueError where its sizes are others."""
    path, nets = Path(path), networks(s)
    for part, name in PARTS.items():
        fits(path / name, nets[part], load_file(path / name))
    return dict(nets, scaling=json.loads((path / "vae/config.json").read_text())["scaling_factor"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    for name in ("captions", "sketch", "paint"):
        parser.add_argument(f"--{name}", help=f"state of {name}.py")
    parser.add_argument("--draw", help="a prompt to draw instead")
    parser.add_argument("-o", type=Path, default=Path("drawn.png"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.draw:
        import paint
        image, = paint.draw(read(given.out), [given.draw])
        image.save(given.o)
        return
    nets = read(given.out) if (given.out / PARTS["unet"]).exists() else dict(networks(), scaling=1.0)
    if given.captions:
        fits(given.captions, nets["text_encoder"], load(given.captions, "captions")["network"])
    if given.sketch:
        state = load(given.sketch, "sketch")
        fits(given.sketch, nets["vae"], state["average"])
    if given.paint:
        state = load(given.paint, "paint")
        fits(given.paint, nets["unet"], state["average"])
        nets["scaling"] = state["scaling"]
    write(nets, given.out, nets.pop("scaling"))


if __name__ == "__main__":
    guarded(main)
