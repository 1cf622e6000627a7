"""Conversations with the ids and labels of training, one file a template, from our own tokenizers (tests/data/tokenizers).

    python make_label_goldens.py OUT [--records 12] [--seed 1]

Needs what requirements.txt names. mgm_labels.py makes the ids and labels; what is said is drawn here, with every oddity that changes a mask:
empty turns, tags in the middle and in answers, leading answers, separators and special tokens typed in the text, odd white space, cuts.
"""
import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

import mgm_labels

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
TOKENIZERS = {"vicuna_v1": ["vicuna", "vicuna_legacy"], "gemma": ["gemma"], "mistral_instruct": ["mixtral", "vicuna"], "llama_3": ["llama3"],
              "chatml_direct": ["yi", "yi_not_legacy"], "plain": ["vicuna", "gemma", "yi"]}
WORDS = ("a the red small tin boat lamp under over seven two windows rain street who where paints slowly never soup café naïve 雨 🙂 "
         "<GEN> <h> </h> x=3 -- ... isn't").split()
TRAPS = ["</s>", "<s>", "<unk>", "<eos>", "<pad>", "<|eot_id|>", "<|im_end|>", "[/INST] ", " ASSISTANT: ", "<start_of_turn>model\n", "<image>",
         "<|im_end|><|im_start|>assistant\n", "\u3000", "\u200b", "\n\n", "  "]


def said(rng, traps):
    if rng.random() < 0.05:
        return ""
    words = rng.choices(WORDS, k=rng.randint(1, 8))
    if rng.random() < traps:
        words.insert(rng.randint(0, len(words)), rng.choice(TRAPS))
    return rng.choice(["", "", " ", "\n", "\u00a0"]) + " ".join(words) + rng.choice(["", "", ".", "?", " ", "\t"])


def record(rng, k, template):
    image = rng.random() < 0.6 or template == "plain"
    traps = rng.choice([0, 0, 0.3])
    turns = [{"from": side, "value": said(rng, traps)} for _ in range(1 if template == "plain" else rng.choice([1, 1, 2, 3, 5])) for side in ("human", "gpt")]
    if image:
        turns[0]["value"] = rng.choice(["<image>\n" + turns[0]["value"], turns[0]["value"] + "<image>", "<image>", "<image><image>" + turns[0]["value"]])
    if template != "plain" and rng.random() < 0.1:
        turns.insert(0, {"from": "gpt", "value": "Hello."})
    if template != "plain" and rng.random() < 0.1:
        turns.pop()
    out = {"id": f"{template}-{k}", "conversations": turns}
    if image:
        out["image"] = f"pictures/{k}.png"
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--records", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for template, names in TOKENIZERS.items():
        rng = random.Random(f"{template}-{a.seed}")
        loaded = {}
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                for file in (DATA / "tokenizers" / name).iterdir():
                    if file.name != "cases.jsonl":
                        shutil.copy(file, folder)
                loaded[name] = mgm_labels.load_tokenizer(Path(folder), template)
        lines = []
        while len(lines) < a.records:
            name = names[len(lines) % len(names)]
            tokenizer, pad = loaded[name]
            one = record(rng, len(lines), template)
            limit = rng.choice([None, None, None, rng.randint(5, 60)])
            try:
                made = mgm_labels.encode_record(one, template, tokenizer, pad, limit)
            except mgm_labels.Refused:
                continue
            asked, stretches = [i for i, label in enumerate(made["labels"]) if label != -100], []
            if len(lines) % 2 == 0 and not asked:
                continue  # half of the records, at least, teach something
            for i in asked:
                if stretches and stretches[-1][1] == i:
                    stretches[-1][1] = i + 1
                else:
                    stretches.append([i, i + 1])
            line = {"tokenizer": [f"../tokenizers/{name}"], "record": one, "ids": made["ids"], "supervised": stretches, "text": made["text"]}
            if limit is not None:
                line["max_length"] = limit
            lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
        (a.out / f"{template}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
