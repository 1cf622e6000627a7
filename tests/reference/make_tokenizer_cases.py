"""Makes tests/data/tokenizers: small vocabularies of each family's structure, trained on the text below, with ids from the original libraries.

    pip install transformers==4.38.2 tokenizers==0.15.2 sentencepiece protobuf
    python tests/reference/make_tokenizer_cases.py

Each folder holds the tokenizer's files and cases.jsonl: {"text", "ids", "bare" (no special tokens added), "list", "decoded", "skipped"}.
"""

import io
import json
import os
import random
import shutil
import sys
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, CLIPTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
import mgm_make_tokenizers as families  # noqa: E402

OUT = Path(__file__).resolve().parents[1] / "data/tokenizers"
COLOURS = "red green blue yellow white black grey brown".split()
THINGS = "square circle boat house tree lantern bridge letter window garden".split()
PLACES = "on the table|by the river|under the old roof|between two hills|in the morning light|near the station".split("|")
ASKS = "What colour is the {}?|How many {}s do you see?|Where does the {} stand?|Is the {} larger than it looks?".split("|")
OTHERS = [
    "Der Fluß fließt langsam unter der Brücke hindurch.",
    "La lumière du matin éclaire déjà l'île.",
    "Где стоит маленький дом?",
    "朝の光の中で、小さな家が見える。",
    "Numbers: 1, 22, 333, 4096 and 65536; prices 3.50 and 12.75.",
    "don't we'll I've it's they're I'm he'd",
    "Tabs\tand   runs   of    spaces, and\n\nnew lines.",
    "x = (a + b) * [c - d] / {e: 'f'};  # a comment",
]


def text():
    rng = random.Random(7)
    lines = []
    for _ in range(500):
        thing = rng.choice(THINGS)
        lines.append(f"The {rng.choice(COLOURS)} {thing} stands {rng.choice(PLACES)}.")
        lines.append(rng.choice(ASKS).format(thing) + f" It is {rng.choice(COLOURS)}, and there are {rng.randint(1, 300)} of them.")
        lines.append(rng.choice(OTHERS))
    return lines


TEXTS = [
    "",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    " \n ",
    "\t",
    "\r\n",
    "a",
    " a",
    "a ",
    " a ",
    "Hello world",
    " Hello  world ",
    "The red square stands on the table.",
    "What colour is the boat?\n\nIt is blue.",
    "don't I'LL we'Ve 'S ''",
    "1 12 123 1234 12345 3.14",
    "naïve café e\u0301 \u1e9b\u0323 ﬁne ½ ²",
    "İstanbul ΑΣ Straße ǅ",
    "東京 日本語 한국어 \u1100\u1161\u11a8",
    "नमस्ते ไทย العربية",
    "🚀 👩‍👩‍👧 🇩🇪 \U0001f9d1\U0001f3fd",
    "▁",
    "▁▁ ▁a▁",
    "a▁b",
    "<0x0A>",
    "<0x41><0xE4>",
    "</w> a</w>",
    "\ufeffBOM",
    "zero\u200bwidth\u200d",
    "\u00a0nbsp\u3000ideographic\u2003em",
    "\x1c\x85\u2028\u2029",
    "\x00\x01\x7f",
    "\ufffd",
    "\U0010ffff\U000e0001",
    "<s>",
    "</s>",
    "<s> a</s> b",
    "a<s>b",
    " <s> <s>",
    "<unk>",
    "a <unk> b",
    "<s",
    "<<s>>",
    "x" * 40,
    "ab" * 30,
    " " * 33 + "x",
    "\n" * 21,
    "-" * 50 + "=" * 17,
    "<image>",
    "<|im_start|>user\nhi<|im_end|><|im_sep|>",
    "<start_of_turn>user\nhi<end_of_turn>\n<eos>",
    "<|eot_id|><|begin_of_text|> <|start_header_id|>",
    "<|startoftext|>A B<|endoftext|>",
    "<|STARTOFTEXT|>",
    "<|Human|> x",
    "[INST] hi [/INST] there </s><s>[INST]",
    " [KEEP]  x [KEEP]y z[KEEP]",
    "a [left] b[left]c",
    "word Word words wordy a-word word",
    "x NORM norm Norm y",
    "USER: <image>\nWhat? ASSISTANT:",
    "https://a.b/c?d=1&e=%20",
    "def f(x):\n    return x  # ok\n",
    "q\u0323\u0307 \u0958",
]


def write_cases(folder, theirs):
    rng = random.Random(3)
    size, lines = len(theirs), []
    for i, t in enumerate(TEXTS):
        ids = theirs(t).input_ids
        some = ids if i % 2 else [rng.randrange(size) for _ in range(i % 14)]
        lines.append(
            {
                "text": t,
                "ids": ids,
                "bare": theirs(t, add_special_tokens=False).input_ids,
                "list": some,
                "decoded": theirs.decode(some, clean_up_tokenization_spaces=False),
                "skipped": theirs.decode(some, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            }
        )
    lines.append(
        {"size": size, "bos": theirs.bos_token_id, "eos": theirs.eos_token_id, "unk": theirs.unk_token_id, "pad": theirs.pad_token_id}
    )
    (folder / "cases.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def make_rules(folder, lines):
    """SentencePiece with character rules, trimmed spaces, control and user-defined pieces, no byte fallback; slow and legacy."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = folder / "rules.tsv"
    rules.write_text(
        "FB01\t66 69\nBD\t31 2044 32\n3000\t20\n9\t20\nA0\t20\nFF21\t41\n65 301\tE9\n200B\t\n49 27 4C 4C\t49 20 77 69 6C 6C\n",
        encoding="ascii",
    )
    out = io.BytesIO()
    os.chdir(folder)  # the model keeps the name of the rules
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type="bpe",
        vocab_size=330,
        normalization_rule_tsv=rules.name,
        remove_extra_whitespaces=True,
        user_defined_symbols=["[KEEP]", "  x"],
        control_symbols=["<ctl>"],
        unk_id=2,
        bos_id=0,
        eos_id=1,
        pad_id=3,
        character_coverage=0.98,
        minloglevel=2,
        num_threads=1,
    )
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    rules.unlink()
    families.write(
        folder,
        {
            "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True, "pad_token": "<pad>"},
            "special_tokens_map.json": {"additional_special_tokens": ["<image>"]},
            "added_tokens.json": {"<image>": 330, "[left]": 331},
        },
    )


def make_metaspace(folder, lines):
    """Metaspace, NFKC, lower case, fused unknown tokens, added tokens with every flag, EOS by the template."""
    pre = pre_tokenizers.Metaspace(replacement=families.META, add_prefix_space=True)
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre
    trained.train_from_iterator(
        (line.lower() for line in lines),
        trainers.BpeTrainer(vocab_size=260, special_tokens=["<unk>", "<s>", "</s>"], limit_alphabet=60, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    model.update(fuse_unk=True, unk_token="<unk>")
    size = len(model["vocab"])
    flags = [
        ("[KEEP]", dict(lstrip=True, rstrip=True)),
        ("[left]", dict(lstrip=True)),
        ("word", dict(single_word=True, normalized=True, special=False)),
        ("NORM", dict(normalized=True, special=False)),
        ("<image>", {}),
    ]
    special = [families.added(i, t) for i, t in enumerate(("<unk>", "<s>", "</s>"))]
    special += [{**families.added(size + i, t), **more} for i, (t, more) in enumerate(flags)]
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFKC"},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": "[\\r\\n]+"}, "content": " "},
            {"type": "Lowercase"},
        ],
    }
    meta = {"type": "Metaspace", "replacement": families.META, "add_prefix_space": True, "prepend_scheme": "first"}
    post = families.template("<s>", 1)
    post["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    post["special_tokens"]["</s>"] = {"id": "</s>", "ids": [2], "tokens": ["</s>"]}
    families.write(
        folder,
        {
            "tokenizer.json": families.fast_file(model, special, normalizer, post, meta, meta),
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
            },
        },
    )


def make_clip(folder, lines):
    """CLIP's files: 256 byte letters, the same with </w>, merges, two special tokens."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = split
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained.train_from_iterator(
        (line.lower() for line in lines),
        trainers.BpeTrainer(vocab_size=560, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False),
    )
    merges = json.loads(trained.to_str())["model"]["merges"]
    order = letters + [c + "</w>" for c in letters]
    order += [piece for piece in (m.replace(" ", "") for m in merges) if piece not in set(order)] + ["<|startoftext|>", "<|endoftext|>"]
    families.write(
        folder,
        {
            "tokenizer_config.json": {
                "tokenizer_class": "CLIPTokenizer",
                "pad_token": "!",
                "bos_token": {**families.added(0, "<|startoftext|>", normalized=True), "__type": "AddedToken"},
                "eos_token": {**families.added(0, "<|endoftext|>", normalized=True), "__type": "AddedToken"},
            }
        },
    )
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("bos_token", "eos_token"):
        del config[name]["id"], config[name]["special"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "vocab.json").write_text(
        json.dumps({piece: i for i, piece in enumerate(dict.fromkeys(order))}, ensure_ascii=False, separators=(",", ":"))
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    lines = text()
    for name in ("vicuna", "yi", "gemma", "mixtral", "llama3"):
        getattr(families, "make_" + name)(OUT / name, lines)
    make_rules(OUT / "rules", lines)
    for name, base, change in (
        ("rules_not_legacy", "rules", {"legacy": False}),
        ("vicuna_legacy", "vicuna", {"legacy": True}),
        ("yi_not_legacy", "yi", {"legacy": False, "add_bos_token": True}),
    ):
        shutil.copytree(OUT / base, OUT / name)
        config = json.loads((OUT / name / "tokenizer_config.json").read_text())
        (OUT / name / "tokenizer_config.json").write_text(json.dumps({**config, **change}, indent=1) + "\n")
    make_metaspace(OUT / "metaspace", lines)
    make_clip(OUT / "clip", lines)
    for path in OUT.glob("*/*.json"):  # compact: these are committed
        path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
    for folder in sorted(OUT.iterdir()):
        slow = (folder / "tokenizer.model").exists()
        clip = (folder / "merges.txt").exists()
        write_cases(folder, CLIPTokenizerFast.from_pretrained(folder) if clip else AutoTokenizer.from_pretrained(folder, use_fast=not slow))
        print(folder.name, "done")


if __name__ == "__main__":
    main()
