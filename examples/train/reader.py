"""Stage 5: two more decoder layers in front, which start as a reader of print.

    python reader.py FOLDER OUT          FOLDER is an exported folder, OUT the one with two layers more

The decoder finds where things are within minutes, but it does not find by itself how to spell a sign: five heads must each carry another
character, 32 values wide, and nothing is right before all of it is. So the way of reading is set up, and `speak.py` trains it on:

  counting   the first new layer notes at each position whether an opening quote stands 1, 2, 3 or 4 ids before it. Its heads look back
             as those of the old first layer do (`words.look_back`); the fourth is the third, turned by one position.
  reading    head i of the second one is fitted in closed form, by ridge regressions on training pictures: values, the embedding of the
             character of index i, from the tokens that hold it (labels.Words put it there); keys, whether a token holds such a character;
             queries, whether the next id is the character of index i. Keys and queries sit in the channels that rotate least.

  saying     the feed-forward of the second one is a gated linear map, 32 units wide: where a character is due it says what the heads
             found, louder than all later layers together; elsewhere the gate is shut.

They come first because later layers bury the print of the image tokens. Elsewhere they add next to nothing.
"""
import argparse
import random

import torch
import torch.nn.functional as F

import data
import folder
import grammar
from labels import CODE, LONGEST, Labels
from network import MGM, Sizes
from tokenizer import Tokenizer

BACK = 4                                       # how far the opening quote is looked for


def ridge(x, y, strength=1e-2):
    """W with x W near y, both [n, ·]."""
    gram = x.T @ x
    return torch.linalg.solve(gram + strength * gram.diagonal().mean() * torch.eye(len(gram)), x.T @ y)


@torch.no_grad()
def counting_layer(layer, old, embedding, quote, theta, strength=2.0):
    """Sets up `layer` to write its own direction for each distance 1 … BACK to an id `quote`; `old` looks back 1, 2 and 3 ids."""
    heads, width = old.heads, embedding.shape[1] // old.heads
    a, b, half = layer.self_attn, old.self_attn, width // 2
    layer.input_layernorm.weight.copy_(old.input_layernorm.weight)
    a.q_proj.weight.copy_(b.q_proj.weight)
    a.k_proj.weight.copy_(b.k_proj.weight)
    for p in (a.v_proj, a.o_proj, layer.mlp.down_proj):
        p.weight.zero_()
    angle = theta ** (-torch.arange(half) / half)
    left, right = b.q_proj.weight[2 * width:3 * width].split(half)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a.q_proj.weight[3 * width:4 * width] = torch.cat((left * cos + right * sin, right * cos - left * sin))       # turned by -1
    a.k_proj.weight[3 * width:4 * width] = b.k_proj.weight[2 * width:3 * width]
    seen = F.rms_norm(embedding, embedding.shape[1:]) * old.input_layernorm.weight
    mark = torch.zeros(len(embedding), 1)
    mark[quote] = 1
    is_quote = ridge(seen, mark * 30, 1e-4)[:, 0] / 30
    directions = torch.linalg.qr(torch.randn(embedding.shape[1], BACK, generator=torch.Generator().manual_seed(3)))[0].T
    for n in range(min(BACK, heads)):
        a.v_proj.weight[n * width] = is_quote
        a.o_proj.weight[:, n * width] = strength * directions[n]


@torch.no_grad()
def gather(network, tokenizer, count, depth, crowded=1.0, seed=77):
    """States after `depth` layers, scaled as RMSNorm scales them, of image tokens [n, H] with their letters [n, 5], of all other
    positions [m, H], and for these the index 1 … 5 of the character to be said next, or 0, and its code or 0."""
    rng, head = random.Random(f"reader {seed}"), torch.tensor(tokenizer.head(True))
    seen, letters, said, due, next_ = [], [], [], [], []
    for _ in range(count // 20):
        scenes, images, _, _ = data.pictures(rng, 20, crowded=crowded, blur=0, drop=0)
        if not crowded:                                                  # one sign each, so that it is clear which is read
            kept = [i for i, s in enumerate(scenes) if len(s.signs) == 1]
            scenes, images = [scenes[i] for i in kept], images[kept]
        rows = [[grammar.ask(rng, s, "sign")] for s in scenes]
        packed = data.Packed(tokenizer, rows, True)
        image = network.model.mm_projector(network.see(images))
        body = torch.cat((image, network.model.embed_tokens(packed.ids)), 1)
        n, t = body.shape[:2]
        mask = torch.ones(t, t, dtype=torch.bool).tril().expand(n, -1, -1)
        first, state = network.decode(head, body, torch.arange(t).expand(n, -1), mask, depth)
        seen.append(state[:, :image.shape[1]].flatten(0, 1))
        letters.append(Labels(scenes).spelled.flatten(0, 1))
        said += [first[0], *state[:, image.shape[1]:]]
        due.append(torch.zeros(len(head), dtype=torch.long))
        next_.append(due[-1])
        for i, row in enumerate(rows):
            index, code = (torch.zeros(packed.ids.shape[1], dtype=torch.long) for _ in range(2))
            end = int(packed.owner[i].nonzero()[-1]) - 1                 # the place of the closing quote, before </s>
            text = row[0][0][2].split('"')[1]
            index[end - len(text) - 1:end - 1] = torch.arange(1, len(text) + 1)
            code[end - len(text) - 1:end - 1] = torch.tensor([CODE[c] for c in text])
            due.append(index)
            next_.append(code)
    seen, said = (F.rms_norm(x, x.shape[-1:]) for x in (torch.cat(seen), torch.cat(said)))
    return seen, torch.cat(letters), said, torch.cat(due), torch.cat(next_)


@torch.no_grad()
def reading_layer(layer, table, seen, letters, said, due, sharpness=12.0):
    """Fits the heads of `layer`; table [1 + 32, H] holds what each character adds, 0 for none. -> a line about each head."""
    heads, a, report = layer.heads, layer.self_attn, []
    width, keys = table.shape[1] // heads, torch.cat((seen, said))
    for p in (a.q_proj, a.k_proj):
        p.weight.normal_(0, 0.02)
    for p in (a.v_proj, a.o_proj, layer.mlp.down_proj):
        p.weight.zero_()
    for i in range(min(heads, LONGEST)):
        at, code = slice(i * width, (i + 1) * width), torch.cat((letters[:, i], torch.zeros(len(said), dtype=torch.long)))
        hold, wait = code > 0, due == i + 1
        weight = torch.where(hold, 1.0, 0.2)[:, None]
        value = ridge(weight * keys, weight * table[code])                                   # (H, H), of rank 31
        u, d, v = torch.linalg.svd(value)
        a.v_proj.weight[at] = (u[:, :width] * d[:width].sqrt()).T
        a.o_proj.weight[:, at] = v[:width].T * d[:width].sqrt()
        key, query = ridge(keys, hold.float()[:, None])[:, 0], ridge(said, wait.float()[:, None])[:, 0]
        slow, root = i * width + width // 2 - 1, (sharpness * width ** 0.5) ** 0.5
        a.k_proj.weight[slow], a.q_proj.weight[slow] = root * key, root * query
        named = ((keys[hold] @ value @ table[1:].T).argmax(-1) + 1 == code[hold]).float().mean()
        report.append(f"character {i + 1}: named {100 * named:.0f} %, key {(keys[hold] @ key).mean():.2f} against "
                      f"{(keys[~hold] @ key).mean():.2f}, query {(said[wait] @ query).mean():.2f} against {(said[~wait] @ query).mean():.2f}")
    return report


@torch.no_grad()
def saying(layer, table, after, due, code, loudness=300.0, opening=12.0):
    """Fits the feed-forward to the states `after` the layer's attention [m, H]: silu(opening·g·n)·(U n), with g·n near 1 where a
    character is due and near −0.4 elsewhere, where silu is nearly shut."""
    m, n, width = layer.mlp, F.rms_norm(after, after.shape[-1:]), 32
    gate = ridge(n, torch.where(due > 0, 1.0, -0.4)[:, None])[:, 0]
    weight = torch.where(due > 0, 1.0, 0.5)[:, None]
    value = ridge(weight * n, weight * table[code])
    u, d, v = torch.linalg.svd(value)
    m.gate_proj.weight[:width] = opening * gate
    m.up_proj.weight[:width] = (u[:, :width] * d[:width].sqrt()).T
    out = v[:width].T * d[:width].sqrt()
    size = (F.silu(n @ (opening * gate))[:, None] * (n @ value))[due > 0].norm(dim=1).mean()
    m.down_proj.weight[:, :width] = out * loudness / size
    right = ((n @ value @ table[1:].T).argmax(-1) + 1 == code)[due > 0].float().mean()
    return f"saying: {100 * right:.0f} % right, gate {(n @ gate)[due > 0].mean():.2f} against {(n @ gate)[due == 0].mean():.2f}"


@torch.no_grad()
def grow(network, tokenizer, pictures):
    """-> a network with two layers more in front, and a report."""
    s = network.sizes
    grown = MGM(Sizes(layers=s.layers + 2))
    grown.load_state_dict({**grown.state_dict(), **network.state_dict()})
    *old, counting, reading = grown.model.layers
    embedding = grown.model.embed_tokens.weight
    counting_layer(counting, old[0], embedding, tokenizer.ids(' "')[0], s.theta)
    grown.model.layers = torch.nn.ModuleList([counting, reading, *old])
    table = torch.stack([embedding[tokenizer.ids(c)[-1]] for c in CODE])
    table = torch.cat((torch.zeros(1, s.hidden), table - table.mean(0)))
    turn = torch.linalg.qr(torch.randn(s.hidden, s.hidden, generator=torch.Generator().manual_seed(4)))[0]
    # what was read is turned, or it would look like the id at that position
    report = reading_layer(reading, table @ turn, *gather(grown, tokenizer, pictures, depth=1)[:4])
    seen, _, said, due, code = gather(grown, tokenizer, pictures, depth=2, crowded=0.0)
    nothing = torch.zeros(len(seen), dtype=torch.long)                                 # image tokens never speak
    states, due, code = torch.cat((said, seen)), torch.cat((due, nothing)), torch.cat((code, nothing))
    return grown, [*report, saying(reading, table, states, due, code)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--pictures", type=int, default=1500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer(f"{given.folder}/tokenizer.model")
    grown, report = grow(folder.read(given.folder), tokenizer, given.pictures)
    print("\n".join(report))
    folder.write(grown, given.out, f"{given.folder}/tokenizer.model")


if __name__ == "__main__":
    main()
