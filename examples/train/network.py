"""MGM-Tiny in plain PyTorch: CLIP, ConvNeXt, patch info mining, projector, LLaMA. Parameter names are those of the published layout."""
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Sizes:
    """All numbers that shapes depend on. `side` is that of the high-resolution input, `low` that of CLIP's."""
    side: int = 128
    low: int = 32
    patch: int = 4
    width: int = 128                            # of CLIP, of the mining projections and of the tokens
    clip_heads: int = 2
    clip_ffn: int = 512
    clip_layers: int = 4                        # the last one is stored but never runs (mm_vision_select_layer = -2)
    widths: tuple = (48, 64, 96, 128)           # of ConvNeXt's stages
    depths: tuple = (2, 2, 2, 1)
    vocabulary: int = 768
    hidden: int = 160
    layers: int = 4
    heads: int = 5
    ffn: int = 448
    theta: float = 1e4
    epsilon: float = 1e-5
    positions: int = 1024

    @property
    def tokens(self):
        """Image tokens a side."""
        return self.low // self.patch

    def as_dict(self):
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


class ClipAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width, inner, activation):
        super().__init__()
        self.fc1, self.fc2, self.activation = nn.Linear(width, inner), nn.Linear(inner, width), activation

    def forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


class ClipLayer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.layer_norm1, self.self_attn = nn.LayerNorm(s.width), ClipAttention(s.width, s.clip_heads)
        self.layer_norm2, self.mlp = nn.LayerNorm(s.width), Mlp(s.width, s.clip_ffn, quick_gelu)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Clip(nn.Module):
    """[N, 3, low, low] -> the patch features [N, tokens², width] before the last layer."""

    def __init__(self, s):
        super().__init__()
        v = self.vision_model = nn.Module()
        e = v.embeddings = nn.Module()
        e.class_embedding = nn.Parameter(torch.randn(s.width) * 0.02)
        e.patch_embedding = nn.Conv2d(3, s.width, s.patch, s.patch, bias=False)
        e.position_embedding = nn.Embedding(s.tokens ** 2 + 1, s.width)
        nn.init.normal_(e.position_embedding.weight, std=0.02)
        v.pre_layrnorm, v.post_layernorm = nn.LayerNorm(s.width), nn.LayerNorm(s.width)
        v.encoder = nn.Module()
        v.encoder.layers = nn.ModuleList(ClipLayer(s) for _ in range(s.clip_layers))

    def forward(self, x):
        v, e = self.vision_model, self.vision_model.embeddings
        patches = e.patch_embedding(x).flatten(2).transpose(1, 2)
        x = v.pre_layrnorm(torch.cat((e.class_embedding.expand(len(x), 1, -1), patches), 1) + e.position_embedding.weight)
        for layer in v.encoder.layers[:-1]:
            x = layer(x)
        return x[:, 1:]


class ChannelsNorm(nn.LayerNorm):
    """LayerNorm over the channels of an NCHW map."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.mlp = nn.LayerNorm(width, 1e-6), Mlp(width, 4 * width, F.gelu)
        self.gamma = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x):
        return x + (self.gamma * self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """[N, 3, side, side] -> the four stage maps at the first one's size, one after the other in channels [N, sum of widths, n, n]."""

    def __init__(self, widths, depths):
        super().__init__()
        self.vision_stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelsNorm(widths[0], 1e-6))
        self.vision_stages = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(widths, depths)):
            stage = nn.Module()
            if i:
                stage.downsample = nn.Sequential(ChannelsNorm(widths[i - 1], 1e-6), nn.Conv2d(widths[i - 1], width, 2, 2))
            stage.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
            self.vision_stages.append(stage)

    def forward(self, x):
        x, maps = self.vision_stem(x.contiguous(memory_format=torch.channels_last)), []
        for i, stage in enumerate(self.vision_stages):
            x = stage.blocks(stage.downsample(x) if i else x)
            maps.append(x)
        size = maps[0].shape[-2:]
        return torch.cat([maps[0], *(F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps[1:])], 1)

    @torch.no_grad()
    def start_reading(self, reach=2):
        """The start from which a ConvNeXt this small learns print at once.

        The stem keeps all 48 numbers of a 4x4 patch (a cosine basis with the mean turned down), a depthwise kernel is one random tap
        at most `reach` pixels off its centre, a block's branch is as large as what it is added to, and the downsamplings are orthogonal.
        """
        n = torch.arange(4.0)
        waves = torch.cos(math.pi / 4 * (n + 0.5) * n[:, None]) / math.sqrt(2)
        waves[0] /= math.sqrt(2)
        hues = F.normalize(torch.tensor(((1.0, 1, 1), (1, 0, -1), (1, -2, 1))), dim=1)
        basis = torch.einsum("hc,ay,bx->habcyx", hues, waves, waves)
        basis[1:] *= 0.7
        basis[:, 0, 0] *= 0.15
        basis, stem = basis.flatten(0, 2), self.vision_stem[0]
        stem.weight[:len(basis)] = basis[:len(stem.weight)]
        stem.bias.zero_()
        for block in (m for m in self.modules() if isinstance(m, ConvBlock)):
            kernel, width = block.conv_dw.weight.normal_(0, 0.01), len(block.gamma)
            tap = torch.randint(3 - reach, 4 + reach, (width, 2))
            kernel[torch.arange(width), 0, tap[:, 0], tap[:, 1]] += 1
            block.conv_dw.bias.zero_()
            block.gamma.fill_(1.0)
            block.mlp.fc1.weight.normal_(0, math.sqrt(2 / width))
            block.mlp.fc2.weight.normal_(0, math.sqrt(1 / (4 * width)))
        for stage in self.vision_stages[1:]:
            nn.init.orthogonal_(stage.downsample[1].weight.view(len(stage.downsample[1].weight), -1))
            stage.downsample[1].bias.zero_()


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class DecoderLayer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads = s.heads
        a, m = nn.Module(), nn.Module()
        self.self_attn, self.mlp = a, m
        a.q_proj, a.k_proj, a.v_proj, a.o_proj = (nn.Linear(s.hidden, s.hidden, bias=False) for _ in range(4))
        m.gate_proj, m.up_proj = (nn.Linear(s.hidden, s.ffn, bias=False) for _ in range(2))
        m.down_proj = nn.Linear(s.ffn, s.hidden, bias=False)
        self.input_layernorm, self.post_attention_layernorm = (RmsNorm(s.hidden, s.epsilon) for _ in range(2))

    def forward(self, x, cos, sin, past=None, mask=None):
        """x [N, T, H]; cos and sin broadcast against [N, heads, T, d]; past = (keys, values) in front, one or N of them.
        mask: additive, [N, 1, T, past + T]; None means causal without past. -> x, (keys, values)."""
        a, m, n = self.self_attn, self.mlp, self.input_layernorm(x)
        q, k, v = (p(n).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (a.q_proj, a.k_proj, a.v_proj))

        def rotated(t):
            left, right = t.chunk(2, -1)
            return t * cos + torch.cat((-right, left), -1) * sin

        q, k = rotated(q), rotated(k)
        if past is not None:
            k, v = (torch.cat((p.expand(len(x), -1, -1, -1), t), 2) for p, t in zip(past, (k, v)))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and x.shape[1] > 1)
        x = x + a.o_proj(y.transpose(1, 2).flatten(2))
        n = self.post_attention_layernorm(x)
        return x + m.down_proj(F.silu(m.gate_proj(n)) * m.up_proj(n)), (k, v)


def normed_linear(width, out):
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))


class MGM(nn.Module):
    def __init__(self, sizes=Sizes()):
        super().__init__()
        s = self.sizes = sizes
        m = self.model = nn.Module()
        m.vision_tower = nn.Module()
        m.vision_tower.vision_tower, m.vision_tower_aux = Clip(s), ConvNext(s.widths, s.depths)
        m.vlm_uni_query_projector = normed_linear(s.width, s.width)
        m.vlm_uni_aux_projector, m.vlm_uni_val_projector = (normed_linear(sum(s.widths), s.width) for _ in range(2))
        m.mm_projector = nn.Sequential(nn.Linear(s.width, s.hidden), nn.GELU(), nn.Linear(s.hidden, s.hidden))
        m.embed_tokens = nn.Embedding(s.vocabulary, s.hidden)
        nn.init.normal_(m.embed_tokens.weight, std=0.05)
        m.layers, m.norm = nn.ModuleList(DecoderLayer(s) for _ in range(s.layers)), RmsNorm(s.hidden, s.epsilon)
        self.lm_head = nn.Linear(s.hidden, s.vocabulary, bias=False)
        half = s.hidden // s.heads // 2
        angle = torch.arange(s.positions)[:, None] * s.theta ** (-torch.arange(half) / half)
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin(), persistent=False)

    def tie(self):
        """One table for embedding and head, for training; a saved state holds it twice."""
        self.lm_head.weight = self.model.embed_tokens.weight
        return self

    def parts(self):
        """Named parameters as (eyes, projector, language)."""
        eyes, projector, language = {}, {}, {}
        for name, p in self.named_parameters():
            (projector if "mm_projector" in name else eyes if "vision" in name or "vlm_uni" in name else language)[name] = p
        return eyes, projector, language

    def see(self, images, drop=None, with_map=False):
        """Normalised images [N, 3, side, side] -> the tokens C + M [N, tokens², width]; where drop [N] is true, M is left out.

        Keys and values are never projected cell by cell: with z = (x − μ)·r for a cell x, the score q·(K z') is (r·(x − μ))·u with
        u = γ·Kᵀq, and the mix of the values is V applied to the mix of the z.
        """
        s, m = self.sizes, self.model
        low = F.interpolate(images, size=(s.low, s.low), mode="bilinear", align_corners=False)
        coarse, fine = m.vision_tower.vision_tower(low), m.vision_tower_aux(images)
        t, k = s.tokens, fine.shape[-1] // s.tokens
        cells = fine.unflatten(2, (t, k)).unflatten(4, (t, k)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)  # [N, t², k², F]
        (kn, kl), (vn, vl) = m.vlm_uni_aux_projector, m.vlm_uni_val_projector
        variance, mean = torch.var_mean(cells, -1, correction=0)
        rate = torch.rsqrt(variance + kn.eps)
        u = (m.vlm_uni_query_projector(coarse) @ kl.weight) * kn.weight
        score = rate * ((cells @ u[..., None])[..., 0] - mean * u.sum(-1, keepdim=True)) / math.sqrt(s.width)
        weight = score.softmax(-1) * rate
        mixed = (weight[:, :, None] @ cells)[:, :, 0] - (weight * mean).sum(-1, keepdim=True)
        mined = vl(vn.weight * mixed + vn.bias)
        if drop is not None:
            mined = mined * (~drop).to(mined.dtype)[:, None, None]
        return (coarse + mined, fine) if with_map else coarse + mined

    def decode(self, head, body, positions, mask, depth=None, taps=None):
        """Hidden states of `body` [N, T, H] behind the same `head` ids [P], which go through the layers only once.

        positions [N, T] count from the end of the head; mask [N, T, T] is true where row t may look at column s of the body.
        -> states after the final norm [N, T, H]; with a depth, those of the head [1, P, H] and of the body after so many layers.
        taps: a dict whose keys are layers; it gets the body's states behind them.
        """
        p, n = len(head), len(body)
        first, at = self.model.embed_tokens(head)[None], positions + p
        cos, sin = self.cos[at][:, None], self.sin[at][:, None]
        allowed = torch.cat((torch.ones(n, mask.shape[1], p, dtype=torch.bool), mask), 2)[:, None]
        additive = torch.zeros(allowed.shape).masked_fill_(~allowed, -1e9)
        for i, layer in enumerate(self.model.layers[:depth]):
            first, past = layer(first, self.cos[:p], self.sin[:p])
            body, _ = layer(body, cos, sin, past, additive)
            if taps and i in taps:
                taps[i] = body
        return self.model.norm(body) if depth is None else (first, body)


def normalised(pixels):
    """uint8 [N, 3, side, side] -> what the towers take."""
    return (pixels.float() / 255 - MEAN) / STD
