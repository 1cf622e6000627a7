"""The generator in plain PyTorch: text encoder, autoencoder and UNet in the layout of Stable Diffusion 1.5, small. Parameter names are the
published ones, so `painter_folder.py` writes what diffusers reads.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from network import ClipAttention, Mlp, quick_gelu


@dataclass(frozen=True)
class PainterSizes:
    """All numbers that shapes depend on."""
    side: int = 64                              # of the pictures
    words: int = 48                             # ids of a prompt, padding included
    text_width: int = 128
    text_heads: int = 2
    text_ffn: int = 512
    text_layers: int = 3
    vae_widths: tuple = (12, 24, 48, 64)
    vae_groups: int = 4
    latents: int = 4
    unet_widths: tuple = (48, 96)
    unet_heads: int = 2
    unet_groups: int = 16

    @property
    def grid(self):
        """Latents a side."""
        return self.side >> (len(self.vae_widths) - 1)


# -------------------------------------------------------------------------------------------------------------- text encoder
class CausalAttention(ClipAttention):
    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class TextLayer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.layer_norm1, self.self_attn = nn.LayerNorm(s.text_width), CausalAttention(s.text_width, s.text_heads)
        self.layer_norm2, self.mlp = nn.LayerNorm(s.text_width), Mlp(s.text_width, s.text_ffn, quick_gelu)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TextEncoder(nn.Module):
    """Ids [N, words] -> states after the final norm [N, words, text_width]."""

    def __init__(self, s, vocabulary):
        super().__init__()
        t = self.text_model = nn.Module()
        t.embeddings, t.encoder, t.final_layer_norm = nn.Module(), nn.Module(), nn.LayerNorm(s.text_width)
        t.embeddings.token_embedding = nn.Embedding(vocabulary, s.text_width)
        t.embeddings.position_embedding = nn.Embedding(s.words, s.text_width)
        nn.init.normal_(t.embeddings.token_embedding.weight, std=0.1)
        nn.init.normal_(t.embeddings.position_embedding.weight, std=0.02)
        t.encoder.layers = nn.ModuleList(TextLayer(s) for _ in range(s.text_layers))

    def forward(self, ids):
        t = self.text_model
        x = t.embeddings.token_embedding(ids) + t.embeddings.position_embedding.weight[:ids.shape[1]]
        for layer in t.encoder.layers:
            x = layer(x)
        return t.final_layer_norm(x)


# -------------------------------------------------------------------------------------------------- blocks of VAE and UNet
class Resnet(nn.Module):
    def __init__(self, inner, outer, groups, epsilon, time=0):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inner, epsilon), nn.Conv2d(inner, outer, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outer, epsilon), nn.Conv2d(outer, outer, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outer) if time else None
        self.conv_shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else None

    def forward(self, x, time=None):
        y = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None:
            y = y + self.time_emb_proj(time)[:, :, None, None]
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + self.conv2(F.silu(self.norm2(y)))


class Down(nn.Module):
    """Halves the sides; `low` pads below and right only, as the autoencoder does."""

    def __init__(self, width, low):
        super().__init__()
        self.low, self.conv = low, nn.Conv2d(width, width, 3, 2, padding=0 if low else 1)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.low else x)


class Up(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Attention(nn.Module):
    """[N, T, width] looks at `context` [N, S, inner], or at itself."""

    def __init__(self, width, inner, heads, bias=False):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(w, width, bias=bias) for w in (width, inner, inner))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context=None):
        context = x if context is None else context
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


# --------------------------------------------------------------------------------------------------------------- autoencoder
class ImageAttention(Attention):
    def __init__(self, width, groups):
        super().__init__(width, width, 1, bias=True)
        self.group_norm = nn.GroupNorm(groups, width, 1e-6)

    def forward(self, x):
        y = super().forward(self.group_norm(x).flatten(2).transpose(1, 2))
        return x + y.transpose(1, 2).unflatten(2, x.shape[2:])


def middle(width, groups):
    block = nn.Module()
    block.resnets = nn.ModuleList(Resnet(width, width, groups, 1e-6) for _ in range(2))
    block.attentions = nn.ModuleList([ImageAttention(width, groups)])
    return block


def through(block, x):
    return block.resnets[1](block.attentions[0](block.resnets[0](x)))


class Encoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        widths, g = s.vae_widths, s.vae_groups
        self.conv_in, self.down_blocks = nn.Conv2d(3, widths[0], 3, padding=1), nn.ModuleList()
        for i, width in enumerate(widths):
            block = nn.Module()
            block.resnets = nn.ModuleList([Resnet(widths[max(0, i - 1)], width, g, 1e-6)])
            if i + 1 < len(widths):
                block.downsamplers = nn.ModuleList([Down(width, True)])
            self.down_blocks.append(block)
        self.mid_block, self.conv_norm_out = middle(widths[-1], g), nn.GroupNorm(g, widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * s.latents, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block.resnets[0](x)
            if hasattr(block, "downsamplers"):
                x = block.downsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(through(self.mid_block, x))))


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        widths, g = s.vae_widths[::-1], s.vae_groups
        self.conv_in, self.mid_block, self.up_blocks = nn.Conv2d(s.latents, widths[0], 3, padding=1), middle(widths[0], g), nn.ModuleList()
        for i, width in enumerate(widths):
            block = nn.Module()
            block.resnets = nn.ModuleList([Resnet(widths[max(0, i - 1)], width, g, 1e-6), Resnet(width, width, g, 1e-6)])
            if i + 1 < len(widths):
                block.upsamplers = nn.ModuleList([Up(width)])
            self.up_blocks.append(block)
        self.conv_norm_out, self.conv_out = nn.GroupNorm(g, widths[-1], 1e-6), nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x):
        x = through(self.mid_block, self.conv_in(x))
        for block in self.up_blocks:
            for resnet in block.resnets:
                x = resnet(x)
            if hasattr(block, "upsamplers"):
                x = block.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """Pictures [N, 3, side, side] in [-1, 1] to latents [N, 4, grid, grid] (mean and log variance) and back."""

    def __init__(self, s):
        super().__init__()
        self.encoder, self.decoder = Encoder(s), Decoder(s)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(2 * s.latents, 2 * s.latents, 1), nn.Conv2d(s.latents, s.latents, 1)

    def encode(self, x):
        mean, log_variance = self.quant_conv(self.encoder(x)).chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


# ---------------------------------------------------------------------------------------------------------------------- UNet
class Gated(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class Transformer(nn.Module):
    def __init__(self, width, s):
        super().__init__()
        self.norm = nn.GroupNorm(s.unet_groups, width, 1e-6)
        self.proj_in, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(2))
        block = nn.Module()
        block.norm1, block.norm2, block.norm3 = (nn.LayerNorm(width) for _ in range(3))
        block.attn1, block.attn2 = Attention(width, width, s.unet_heads), Attention(width, s.text_width, s.unet_heads)
        block.ff = nn.Module()
        block.ff.net = nn.ModuleList([Gated(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])
        self.transformer_blocks = nn.ModuleList([block])

    def forward(self, x, text):
        b, y = self.transformer_blocks[0], self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        y = y + b.attn1(b.norm1(y))
        y = y + b.attn2(b.norm2(y), text)
        y = y + b.ff.net[2](b.ff.net[0](b.norm3(y)))
        return x + self.proj_out(y.transpose(1, 2).unflatten(2, x.shape[2:]))


class Level(nn.Module):
    def __init__(self, widths, s, time, down=False, up=False):
        """widths: (in, out) of each resnet."""
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(i, o, s.unet_groups, 1e-5, time) for i, o in widths)
        self.attentions = nn.ModuleList(Transformer(o, s) for _, o in widths)
        width = widths[-1][1]
        if down:
            self.downsamplers = nn.ModuleList([Down(width, False)])
        if up:
            self.upsamplers = nn.ModuleList([Up(width)])


class Unet(nn.Module):
    """Noisy latents [N, 4, grid, grid], timesteps [N], text [N, words, text_width] -> what the scheduler's prediction_type says.
    taps: a list that gets the states behind each transformer, [N, C, h, w]."""

    def __init__(self, s):
        super().__init__()
        self.sizes, time = s, 4 * s.unet_widths[0]
        fine, coarse = s.unet_widths
        self.conv_in = nn.Conv2d(s.latents, fine, 3, padding=1)
        self.time_embedding = nn.Module()
        self.time_embedding.linear_1, self.time_embedding.linear_2 = nn.Linear(fine, time), nn.Linear(time, time)
        self.down_blocks = nn.ModuleList([Level([(fine, fine)], s, time, down=True), Level([(fine, coarse)], s, time)])
        self.mid_block = nn.Module()
        self.mid_block.resnets = nn.ModuleList(Resnet(coarse, coarse, s.unet_groups, 1e-5, time) for _ in range(2))
        self.mid_block.attentions = nn.ModuleList([Transformer(coarse, s)])
        self.up_blocks = nn.ModuleList([Level([(2 * coarse, coarse), (coarse + fine, coarse)], s, time, up=True),
                                        Level([(coarse + fine, fine), (2 * fine, fine)], s, time)])
        self.conv_norm_out, self.conv_out = nn.GroupNorm(s.unet_groups, fine, 1e-5), nn.Conv2d(fine, s.latents, 3, padding=1)

    def forward(self, x, t, text, taps=None):
        half = self.sizes.unet_widths[0] // 2
        angle = t.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        e = self.time_embedding
        time = F.silu(e.linear_2(F.silu(e.linear_1(torch.cat((angle.cos(), angle.sin()), -1)))))

        def pair(resnet, attention, x):
            x = attention(resnet(x, time), text)
            if taps is not None:
                taps.append(x)
            return x

        x = self.conv_in(x)
        kept = [x]
        for level in self.down_blocks:
            x = pair(level.resnets[0], level.attentions[0], x)
            kept.append(x)
            if hasattr(level, "downsamplers"):
                x = level.downsamplers[0](x)
                kept.append(x)
        m = self.mid_block
        x = m.resnets[1](pair(m.resnets[0], m.attentions[0], x), time)
        for level in self.up_blocks:
            for resnet, attention in zip(level.resnets, level.attentions):
                x = pair(resnet, attention, torch.cat((x, kept.pop()), 1))
            if hasattr(level, "upsamplers"):
                x = level.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))
