"""Compares our tokenizer with the original libraries (transformers 4.38.2, tokenizers 0.15.2, sentencepiece 0.2) on random strings.

    g++ -std=c++20 -O2 -Iinclude tests/support/tokenizer_lines.cpp -o tokenizer_lines
    python tests/reference/compare_tokenizers.py ./tokenizer_lines FOLDER [--slow] [--n 100000] [--seed 1]

Strings mix words, spaces, line ends, digits, the vocabulary's own special tokens and pieces, and characters assigned in Unicode 13.
Compared: ids with and without special tokens, text of random and of encoded ids, with and without special tokens, streamed too.
Exit status 1 if anything differs.
"""

import argparse
import json
import random
import subprocess
import sys
import unicodedata

from transformers import AutoTokenizer, CLIPTokenizerFast

# Assigned in Unicode 14 but not in 13 (the running Python knows 14), as ranges.
NEW_14 = (
    "61d 870-88e 890-891 898-89f 8b5 8c8-8d2 c3c c5d cdd 170d 1715 171f 180f 1ac1-1ace 1b4c 1b7d-1b7e 1dfa 20c0 2c2f 2c5f 2e53-2e5d 9ffd-9fff "
    "a7c0-a7c1 a7d0-a7d1 a7d3 a7d5-a7d9 a7f2-a7f4 fbc2 fd40-fd4f fdcf fdfe-fdff 10570-105bc 10780-107ba 10f70-10f89 11070-11075 110c2 "
    "116b9 11740-11746 11ab0-11abf 12f90-12ff2 16a70-16ac9 1aff0-1affe 1b11f-1b122 1cf00-1cfc3 1d1e9-1d1ea 1df00-1df1e 1e290-1e2ae "
    "1e7e0-1e7fe 1f6dd-1f6df 1f7f0 1f979 1f9cc 1fa7b-1fa7c 1faa9-1faac 1fab7-1faba 1fac3-1fac5 1fad7-1fad9 1fae0-1fae7 1faf0-1faf6 "
    "2a6de-2a6df 2b735-2b738"
)
WORDS = (
    "the a of Hello world don't I'LL we've it's 2024 3.14159 naïve Straße İstanbul ΑΣ ﬁne ½ été café e\u0301 東京 日本語 한국어 "
    "नमस्ते ไทย العربية русский 🚀 👩‍👩‍👧 🇩🇪 \ufeff \u200b \u00a0 \u3000 ▁ ▁▁ <0x0A> </w> <|x|> <unk> \x00 \x7f \x1c \x85 \u2028 https://a.b/c?d=1 "
    "foo_bar __init__ ''' \"\" ... --- ==== USER: ASSISTANT: <image>"
).split(" ") + [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\v", "\f", ""]


def characters():
    new = {c for r in NEW_14.split() for c in range(int(r.split("-")[0], 16), int(r.split("-")[-1], 16) + 1)}
    return [
        chr(c)
        for c in range(1, 0x110000)
        if not 0xD800 <= c < 0xE000 and c not in new and unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")
    ]


def strings(rng, count, specials, pieces):
    pool = characters()
    marks = [c for c in pool if unicodedata.combining(c)]
    blocks = [
        [c for c in pool if lo <= ord(c) < hi]
        for lo, hi in (
            (0x20, 0x7F),
            (0x80, 0x250),
            (0x370, 0x530),
            (0x590, 0x700),
            (0x900, 0xE00),
            (0x1100, 0x1200),
            (0x3040, 0x3100),
            (0x4E00, 0x9FFD),
            (0xAC00, 0xD7A4),
            (0x2000, 0x2070),
            (0x1F300, 0x1F650),
            (0xFB00, 0xFE00),
            (0xFF00, 0xFFF0),
            (0x1D400, 0x1D800),
        )
    ]
    sources = [
        lambda: rng.choice(WORDS),
        lambda: " " * rng.randint(1, 6),
        lambda: rng.choice(pool),
        lambda: rng.choice(marks),
        lambda: "".join(rng.choices(rng.choice(blocks), k=rng.randint(1, 8))),
        lambda: rng.choice(pieces),
        lambda: " " + rng.choice(pieces),
        lambda: str(rng.randint(0, 10 ** rng.randint(1, 12))),
        lambda: rng.choice("\n \t\r") * rng.randint(1, 4),
        lambda: rng.choice(specials) if specials else "",
        lambda: rng.choice(WORDS).upper(),
        lambda: rng.choice("abcXYZ ' ") * rng.randint(1, 9),
    ]
    for _ in range(count):
        yield "".join(rng.choice(sources)() for _ in range(rng.randint(0, 12)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--slow", action="store_true", help="the original's slow tokenizer")
    parser.add_argument("--n", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    try:
        theirs = AutoTokenizer.from_pretrained(a.folder, use_fast=not a.slow)
    except Exception:  # a folder without config.json: CLIP's files say what they are
        theirs = CLIPTokenizerFast.from_pretrained(a.folder)
    rng = random.Random(a.seed)
    size = len(theirs)
    known = theirs.convert_ids_to_tokens(list(range(min(size, 200000))))
    pieces = [t.replace("\u2581", " ").replace("\u0120", " ") for t in known]
    specials = sorted(theirs.get_added_vocab()) + theirs.all_special_tokens
    texts = list(strings(rng, a.n, specials, pieces))
    encoded = [theirs(t).input_ids for t in texts]
    lists = [ids if rng.random() < 0.5 else [rng.randrange(size) for _ in range(rng.randint(0, 12))] for ids in encoded]
    lines = "\n".join(json.dumps({"text": t, "ids": ids}) for t, ids in zip(texts, lists)) + "\n"
    run = subprocess.run([a.program, a.folder, "slow" if a.slow else "fast"], input=lines.encode(), capture_output=True)
    if run.returncode:
        sys.exit(run.stderr.decode())
    got = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    wrong = {}

    def check(what, i, expected):
        if got[i][what] != expected:
            wrong.setdefault(what, []).append((i, expected))

    specials = set(theirs.all_special_ids) | {i for i, t in theirs.added_tokens_decoder.items() if t.special}
    unknown = theirs.unk_token_id
    for i, text in enumerate(texts):
        check("ids", i, encoded[i])
        check("bare", i, theirs(text, add_special_tokens=False).input_ids)
        for skip in (False, True):
            expected = theirs.decode(lists[i], skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            check("skipped" if skip else "decoded", i, expected)
            check("streamed_skipped" if skip else "streamed", i, expected)
        if any(id in specials and id != unknown for id in got[i]["plain"]):
            wrong.setdefault("special ids in plain text", []).append((i, None))
        elif (
            not any(t and t in text for t in theirs.get_added_vocab())
            and got[i]["plain"] != got[i]["bare"]
            and not any(id in specials for id in got[i]["bare"])
        ):
            wrong.setdefault("plain", []).append((i, got[i]["bare"]))
    if got[-1]["size"] != size:
        wrong["size"] = [(len(texts), size)]
    for what, cases in wrong.items():
        print(f"{what}: {len(cases)} of {len(texts)} differ")
        for i, expected in cases[:3]:
            line = texts[i] if i < len(texts) else ""
            print(
                "   ",
                ascii(line),
                "list",
                lists[i] if i < len(lists) else "",
                "\n      expected",
                ascii(expected),
                "\n      found   ",
                ascii(got[i].get(what)),
            )
    print(a.folder, "slow" if a.slow else "fast", len(texts), "strings:", "equal" if not wrong else "DIFFERENT")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
