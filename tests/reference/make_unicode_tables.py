"""Writes include/mgm/io/vocab/unicode_tables.hpp from the Unicode data of the running Python (3.11 and 3.12 carry Unicode 14 and 15).

    python tests/reference/make_unicode_tables.py

The tokenizer libraries use Unicode 14 for patterns and 15 for lower case; for characters assigned in Unicode 13 they agree on what is
stored here. Their normalisation forms are those of Unicode 9: what later versions gave a decomposition or a combining class is named in
LATER_* below and left out. One text a table, numbers in hexadecimal: a first number is the distance from the end of the entry before it.
"""

import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "include/mgm/io/vocab/unicode_tables.hpp"
CLASSES = {"L": "l", "M": "m", "Nd": "d", "Nl": "r", "No": "o", "Pc": "c"}  # letter, mark, digit, letter number, other number, connector
LAST = 0x110000
SURROGATES = range(0xD800, 0xE000)
LATER_DECOMPOSED = "32ff a7f2-a7f4 ab69 10781-10785 10787-107b0 107b2-107ba 11938 1f16c 1fbf0-1fbf9"
LATER_COMBINING = (
    "7fd 898-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 10d24-10d27 10eab-10eac 10f46-10f50 10f82-10f85 11070 "
    "1133b 1145e 11839-1183a 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42 11d44-11d45 11d97 16ff0-16ff1 1e130-1e136 1e2ae "
    "1e2ec-1e2ef"
)
HANGUL = range(0xAC00, 0xD7A4)  # composed by arithmetic


def spread(ranges):
    """The code points of "a-b c …"."""
    pairs = [(r.split("-")[0], r.split("-")[-1]) for r in ranges.split()]
    return {code for first, last in pairs for code in range(int(first, 16), int(last, 16) + 1)}


def hexes(numbers):
    return ",".join(f"{n:x}" for n in numbers)


def runs(value_of):
    """Maximal runs of code points with one value that is not None: (first, length, value)."""
    out, first, last = [], 0, None
    for code in range(LAST + 1):
        value = value_of(code) if code < LAST else None
        if value != last:
            if last is not None:
                out.append((first, code - first, last))
            first, last = code, value
    return out


def category(code):
    found = unicodedata.category(chr(code))
    return CLASSES.get(found) or CLASSES.get(found[0])


def encode_runs(table):
    """distance[-length]value of each run; value is a letter or, after a colon, a number."""
    parts, end = [], 0
    for first, length, value in table:
        parts.append(f"{first - end:x}" + (f"-{length:x}" if length > 1 else "") + (value if isinstance(value, str) else f":{value:x}"))
        end = first + length
    return " ".join(parts)


def mappings(table):
    """{code: tuple of codes} as runs: distance[-length[/step]]:codes, where each entry of a run lies `step` behind the one before and its
    first code rises by the same step, the others staying."""
    codes, parts, end, i = sorted(table), [], 0, 0
    while i < len(codes):
        first, best, chosen = codes[i], 1, 1
        for step in (1, 2):
            length = 1
            while table.get(first + length * step) == (table[first][0] + length * step, *table[first][1:]) and (
                step == 1 or first + length * step - 1 not in table
            ):
                length += 1
            if length > best:
                best, chosen = length, step
        run = "" if best == 1 else f"-{best:x}" + (f"/{chosen}" if chosen > 1 else "")
        parts.append(f"{first - end:x}{run}:{hexes(table[first])}")
        end = first + (best - 1) * chosen + 1
        i += best
    return " ".join(parts)


def decompositions():
    """One step of the canonical and of the compatibility decompositions, Hangul left out."""
    canonical, compatible, later = {}, {}, spread(LATER_DECOMPOSED)
    for code in range(LAST):
        text = unicodedata.decomposition(chr(code)) if code not in SURROGATES and code not in HANGUL and code not in later else ""
        if text:
            parts = text.split()
            tagged = parts[0].startswith("<")
            (compatible if tagged else canonical)[code] = tuple(int(p, 16) for p in parts[tagged:])
    return canonical, compatible


def excluded(canonical):
    """Pairs that exist as decompositions but are not composed."""
    return [c for c, parts in canonical.items() if len(parts) == 2 and unicodedata.normalize("NFC", "".join(map(chr, parts))) != chr(c)]


def literal(name, comment, text):
    """A constant, cut into lines."""
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) > 128:
            lines.append(line)
            line = ""
        line += word + " "
    lines.append(line)
    body = "\n".join(f'    "{line}"' for line in lines)
    return f"/// {comment}\ninline constexpr char {name}[] =\n{body};\n"


def main():
    canonical, compatible = decompositions()
    lower = {c: tuple(map(ord, chr(c).lower())) for c in range(LAST) if c not in SURROGATES and chr(c).lower() != chr(c)}
    later = spread(LATER_COMBINING)
    tables = [
        literal(
            "kCategories", "Runs of l letter, m mark, d digit, r letter number, o other number, c connector.", encode_runs(runs(category))
        ),
        literal(
            "kCombining",
            "Runs of canonical combining classes other than 0.",
            encode_runs(runs(lambda c: c not in later and unicodedata.combining(chr(c)) or None)),
        ),
        literal("kCanonical", "One step of canonical decomposition.", mappings(canonical)),
        literal("kCompatible", "One step of compatibility decomposition.", mappings(compatible)),
        literal("kNotComposed", "Characters that no composition makes.", encode_runs(runs({c: "" for c in excluded(canonical)}.get))),
        literal("kLower", "Lower case, one character at a time.", mappings(lower)),
    ]
    text = f"""/// Unicode {unicodedata.unidata_version}. Made by tests/reference/make_unicode_tables.py, which says how to read it; not meant to be edited.
#pragma once

namespace mgm::inline v0::io::vocab::tables {{

inline constexpr int kUnicodeVersion = {unicodedata.unidata_version.split('.')[0]};
{"".join(tables)}
}}  // namespace mgm::inline v0::io::vocab::tables
"""
    TARGET.write_text(text)
    print(TARGET.name, len(text), "bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
