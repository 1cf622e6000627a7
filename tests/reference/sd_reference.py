#!/usr/bin/env python3
"""Runs a Stable Diffusion folder with diffusers on the CPU and writes what `mgm draw --dump` writes.

    sd_reference.py draw GENERATOR --prompt TEXT -o OUT.png [options of `mgm draw`] [--precision f32|f64|exact]

`draw` runs the pipeline classes of diffusers as they are and listens at their seams. The precisions:
  f32    everything as in a float32 pipeline
  f64    the same in float64; diffusers keeps the noise schedule, the sinusoids, and the sample inside a step of Euler and DPM++ in float32
  exact  f64 with tables, sinusoids and noise in float64 too: how far an implementation may be off that is better than the reference
Noise is drawn in float32 from torch.Generator("cpu") whatever the precision. A picture to begin with is resized to --size by Pillow's
Lanczos filter where --size is given; else image-to-image keeps its size and inpainting takes the UNet's, as the pipelines do.
"""
import argparse
import functools
import json
import math
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

SCHEDULERS = {"euler": diffusers.EulerDiscreteScheduler, "euler_a": diffusers.EulerAncestralDiscreteScheduler,
              "ddim": diffusers.DDIMScheduler, "dpmpp_2m": diffusers.DPMSolverMultistepScheduler, "lcm": diffusers.LCMScheduler,
              "pndm": diffusers.PNDMScheduler}
PIPELINES = {(False, "text"): diffusers.StableDiffusionPipeline, (False, "image"): diffusers.StableDiffusionImg2ImgPipeline,
             (False, "mask"): diffusers.StableDiffusionInpaintPipeline, (True, "text"): diffusers.StableDiffusionXLPipeline,
             (True, "image"): diffusers.StableDiffusionXLImg2ImgPipeline, (True, "mask"): diffusers.StableDiffusionXLInpaintPipeline}


# ---- noise ---------------------------------------------------------------------------------------------------------
def box_muller(uniform):
    """Blocks of 16 uniform numbers to normal ones in float64: 8 radii, then 8 angles."""
    radius = (-2 * torch.log(1 - uniform[:, :8])).sqrt()
    angle = 2 * math.pi * uniform[:, 8:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)


def exact_randn(shape, generator):
    """torch.randn's numbers without its single-precision logarithm, sine and cosine."""
    count = math.prod(shape)
    if count < 16:
        raise ValueError(f"exact noise needs 16 values or more, found {count}")
    uniform = torch.rand(count, generator=generator).double()
    noise = torch.empty(count, dtype=torch.float64)
    whole = count - count % 16
    noise[:whole] = box_muller(uniform[:whole].reshape(-1, 16)).flatten()
    if count % 16:  # the last 16 values are drawn anew
        noise[-16:] = box_muller(torch.rand(16, generator=generator).double().reshape(1, 16)).flatten()
    return noise.reshape(shape)


def make_randn(precision):
    """Noise is always drawn in float32, as a float32 pipeline draws it, and then widened."""
    if precision == "exact":
        return exact_randn
    return lambda shape, generator: torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


# ---- the pipeline --------------------------------------------------------------------------------------------------
def load_pipeline(folder, kind, precision):
    """The folder's parts in the pipeline class of `kind`: text, image or mask."""
    index = json.loads((folder / "model_index.json").read_text())
    is_xl = "XL" in index["_class_name"]
    variant = "fp16" if any(folder.glob("unet/*.fp16*")) else None
    pipe = PIPELINES[is_xl, kind].from_pretrained(folder, variant=variant, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.register_to_config(force_upcast=False)  # nothing is float16 here, and a float64 encoder must stay one
    return pipe.to(torch.float32 if precision == "f32" else torch.float64), is_xl


def make_scheduler(folder, name, karras):
    """The class by that name, with the folder's scheduler_config.json as its arguments; keys the class lacks are dropped."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    folder_class = config.pop("_class_name")
    cls = SCHEDULERS[name] if name else getattr(diffusers, folder_class)
    if karras != "auto":
        config["use_karras_sigmas"] = karras == "on"
    extra = {"algorithm_type": "dpmsolver++", "solver_order": 2} if cls is diffusers.DPMSolverMultistepScheduler else {}
    return cls.from_config(config, **extra)


def make_exact(pipe):
    """Replaces the single-precision tables and sinusoids of diffusers by float64 ones."""
    scheduler, config = pipe.scheduler, pipe.scheduler.config
    if config.beta_schedule != "scaled_linear" or config.get("rescale_betas_zero_snr"):
        raise ValueError("exact tables are written for scaled_linear betas")
    steps = torch.arange(config.num_train_timesteps, dtype=torch.float64)
    start, end = math.sqrt(config.beta_start), math.sqrt(config.beta_end)
    betas = (start + steps * (end - start) / (config.num_train_timesteps - 1)) ** 2
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
    if hasattr(scheduler, "final_alpha_cumprod"):
        scheduler.final_alpha_cumprod = torch.tensor(1.0) if config.set_alpha_to_one else scheduler.alphas_cumprod[0]

    class Sinusoid(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=torch.float64) / (width // 2))

        def forward(self, values):
            angles = values.double()[:, None] * self.frequencies
            return torch.cat([angles.cos(), angles.sin()], 1)

    pipe.unet.time_proj = Sinusoid(pipe.unet.config.block_out_channels[0])
    if pipe.unet.config.addition_embed_type == "text_time":
        pipe.unet.add_time_proj = Sinusoid(pipe.unet.config.addition_time_embed_dim)


def load_adapter(pipe, options, dtype):
    file = Path(options.ip_adapter)
    encoder = Path(options.ip_encoder) if options.ip_encoder else file.parent / "image_encoder"
    pipe.image_encoder = transformers.CLIPVisionModelWithProjection.from_pretrained(encoder, dtype=torch.float32)
    pipe.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    pipe.set_ip_adapter_scale(options.ip_scale)
    pipe.to(dtype)


def listen(obj, name, heard):
    """Calls heard(result, args, kwargs) after every call of obj.name."""
    inner = getattr(obj, name)

    @functools.wraps(inner)  # keeps the signature: the pipeline asks it whether a step takes a generator
    def wrapped(*args, **kwargs):
        result = inner(*args, **kwargs)
        heard(result, args, kwargs)
        return result

    setattr(obj, name, wrapped)


def is_guided(pipe, guidance):
    return guidance > 1 and pipe.unet.config.time_cond_proj_dim is None


class Record:
    """The tensors of a dump. Steps and latents are numbered through all pipelines of a run."""

    def __init__(self):
        self.tensors, self.step = {}, 0

    def hear(self, pipe, guided, prefix=""):
        def prompt(result, args, kwargs):
            names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds")
            self.tensors.update({prefix + n: t for n, t in zip(names, result) if t is not None and (guided or "negative" not in n)})

        def prepared(result, args, kwargs):
            latents = result[0] if isinstance(result, tuple) else result
            self.tensors.setdefault("latents.0", latents)

        def stepped(result, args, kwargs):
            assert torch.equal(args[2], self.tensors[f"latents.{self.step}"]), "the pipeline changed the latents between two steps"
            self.tensors[f"noise_pred.{self.step}"] = args[0]
            self.step += 1

        listen(pipe, "encode_prompt", prompt)
        listen(pipe, "prepare_latents", prepared)
        listen(pipe.scheduler, "step", stepped)
        listen(pipe.vae, "decode", lambda result, args, kwargs: self.tensors.update(decoded=result[0]))

    def end_of_step(self, pipe, i, t, kwargs):
        """After the step, and after what inpainting puts back."""
        self.tensors[f"latents.{self.step}"] = kwargs["latents"].clone()
        return {}


def prepare(folder, kind, options):
    pipe, is_xl = load_pipeline(folder, kind, options.precision)
    pipe.scheduler = make_scheduler(folder, options.scheduler, options.karras)
    if options.precision == "exact":
        make_exact(pipe)
    if options.tile == "on":
        pipe.vae.enable_tiling()
    return pipe, is_xl


@torch.no_grad()
def draw(options):
    """Returns the tensors of the dump and the picture [H,W,3] in 8 bit."""
    dtype = torch.float32 if options.precision == "f32" else torch.float64
    kind = "mask" if options.mask else "image" if options.init else "text"
    pipe, is_xl = prepare(Path(options.generator), kind, options)
    if options.ip_adapter:
        load_adapter(pipe, options, dtype)
    guidance = options.guidance if options.guidance is not None else 7.5 if not is_xl or kind == "mask" else 5.0
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    width, height = options.size or (side, side)
    randn, ours = make_randn(options.precision), torch.Generator().manual_seed(options.seed)

    def our_noise(shape, generator, dtype, **_):  # a float64 pipeline would draw other numbers
        assert generator is ours, "the pipeline did not pass the generator on"
        return randn(shape, generator).to(dtype)

    record = Record()
    record.hear(pipe, guidance > 1 and pipe.unet.config.time_cond_proj_dim is None)
    inputs = {"prompt": options.prompt, "negative_prompt": options.negative, "num_inference_steps": options.steps,
              "guidance_scale": guidance, "generator": ours, "callback_on_step_end": record.end_of_step}
    if kind == "text":
        if options.latents:
            start = load_file(options.latents)["latents"]
        else:
            start = randn((1, pipe.unet.config.in_channels, height // 8, width // 8), ours)
        inputs |= {"latents": start.to(dtype), "height": height, "width": width}
    else:
        picture = Image.open(options.init).convert("RGB")
        inputs |= {"image": picture.resize((width, height), Image.LANCZOS) if options.size and kind == "image" else picture}
        inputs |= {} if options.strength is None else {"strength": options.strength}
        if kind == "mask":
            inputs |= {"mask_image": Image.open(options.mask)}
            inputs |= {"width": width, "height": height} if options.size else {}
    if options.ip_adapter:
        inputs["ip_adapter_image"] = Image.open(options.ip_image).convert("RGB")
    if options.refiner:
        inputs |= {"output_type": "latent", "denoising_end": options.refiner_at}
    modules = {type(pipe).__module__, type(pipe.scheduler).__module__, "diffusers.models.autoencoders.vae"}
    for module in modules:
        sys.modules[module].randn_tensor = our_noise
    result = pipe(**inputs).images[0]
    record.tensors["timesteps"] = pipe.scheduler.timesteps
    if hasattr(pipe.scheduler, "sigmas"):
        record.tensors["sigmas"] = pipe.scheduler.sigmas
    if options.refiner:
        refiner, _ = prepare(Path(options.refiner), "image", options)
        for module in {type(refiner).__module__, type(refiner.scheduler).__module__}:
            sys.modules[module].randn_tensor = our_noise
        record.hear(refiner, guidance > 1, "refiner.")
        result = refiner(prompt=options.prompt, negative_prompt=options.negative, num_inference_steps=options.steps, image=result[None],
                         guidance_scale=guidance, denoising_start=options.refiner_at, generator=ours,
                         callback_on_step_end=record.end_of_step).images[0]
    return {n: t.detach().double() for n, t in record.tensors.items()}, np.asarray(result)


# ---- command line --------------------------------------------------------------------------------------------------
def parse_size(text):
    width, height = (int(n) for n in text.lower().split("x"))
    if width % 8 or height % 8:
        raise argparse.ArgumentTypeError(f"{text}: width and height must be multiples of 8")
    return width, height


def make_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one = parser.add_subparsers(dest="command", required=True).add_parser("draw")
    one.add_argument("generator")
    one.add_argument("--prompt", required=True)
    one.add_argument("--negative")
    one.add_argument("-o", dest="output", required=True)
    one.add_argument("--steps", type=int, default=50)
    one.add_argument("--guidance", type=float)
    one.add_argument("--size", type=parse_size)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--scheduler", choices=sorted(SCHEDULERS))
    one.add_argument("--karras", choices=("auto", "on", "off"), default="auto")
    for option in ("--latents", "--init", "--mask", "--refiner", "--dump", "--ip-adapter", "--ip-image", "--ip-encoder"):
        one.add_argument(option)
    one.add_argument("--strength", type=float)
    one.add_argument("--refiner-at", type=float, default=0.8)
    one.add_argument("--tile", choices=("on", "off"), default="off")
    one.add_argument("--ip-scale", type=float, default=1.0)
    one.add_argument("--precision", choices=("f32", "f64", "exact"), default="f32")
    for option in ("--device", "--dtype", "--progress", "--threads"):  # options of mgm that change nothing here
        one.add_argument(option)
    return parser


def quiet():
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)


def main():
    quiet()
    options = make_parser().parse_args()
    dump, image = draw(options)
    Image.fromarray(image).save(options.output)
    if options.dump:
        save_file({n: t.float().contiguous() for n, t in dump.items()}, options.dump)


if __name__ == "__main__":
    main()
