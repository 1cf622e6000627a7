"""The tokenizer of MGM-Tiny: SentencePiece BPE with byte fallback in LLaMA's form, and the vicuna_v1 prompt in its ids.

    python tokenizer.py OUT.model
"""
import io
import random
import sys
from dataclasses import replace
from pathlib import Path

import sentencepiece

import grammar
import world

SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. "
          "The assistant gives helpful, detailed, and polite answers to the user's questions.")
BOS, EOS = 1, 2


def corpus(seed=99, pictures=3000):
    """Lines to learn pieces from. Print is left out, so that it stays one piece a character; the system text comes often enough
    that its words merge."""
    rng, lines = random.Random(seed), []
    for _ in range(pictures):
        scene = world.sample_scene(rng)
        scene.things = [replace(t, text="\x01") if t.is_sign else t for t in scene.things]
        weights = dict.fromkeys(grammar.KINDS, 1)
        turns = [t for _ in range(4) for t in grammar.ask_balanced(rng, scene, weights, rng.random() < 0.8)] + grammar.chat(rng)
        lines += [f"USER: {question} ASSISTANT: {answer}" for _, question, answer in turns]
    lines += [SYSTEM] * 6000 + [text for fact in grammar.FACTS for text in fact] * 200
    return [part for line in lines for part in line.split("\x01") if part.strip()]


def train(path, pieces=768):
    """Writes a tokenizer.model with ids unk 0, bos 1, eos 2."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, model_type="bpe", vocab_size=pieces, byte_fallback=True,
        unk_id=0, bos_id=BOS, eos_id=EOS, pad_id=-1, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, allow_whitespace_only_pieces=True, split_digits=True, character_coverage=1.0,
        required_chars=world.LETTERS + "IO01", num_threads=1, minloglevel=2)
    Path(path).write_bytes(model.getvalue())


class Tokenizer:
    """Encodes as the non-legacy LLaMA tokenizer does: the dummy prefix once per chunk, none after a special token."""

    def __init__(self, path):
        from sentencepiece import sentencepiece_model_pb2
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(Path(path).read_bytes())
        model.normalizer_spec.add_dummy_prefix = False
        self.raw = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
        self.memory, self.ended = {}, {}

    def ids(self, text):
        if text not in self.memory:
            if len(self.memory) > 200_000:
                self.memory.clear()
            self.memory[text] = self.raw.encode(text)
        return self.memory[text]

    def text(self, ids):
        return self.raw.decode([int(i) for i in ids if i > EOS]).strip()

    def head(self, with_image):
        """What comes before the first image, or before the first question of a text-only conversation."""
        return [BOS] + self.ids(" " + SYSTEM + " USER:" + (" " if with_image else ""))

    def ends(self, text):
        """Where each of the text's ids ends, in characters."""
        if text not in self.ended:
            if len(self.ended) > 200_000:
                self.ended.clear()
            self.ended[text] = [piece.end for piece in self.raw.encode(text, return_type="proto").pieces]
        return self.ended[text]

    @staticmethod
    def texts(turns, with_image):
        """What is encoded of each turn, in two pieces: up to ASSISTANT:, and the answer."""
        return [(("USER: " if i else " \n" if with_image else " ") + question + " ASSISTANT:", " " + answer)
                for i, (_, question, answer) in enumerate(turns)]

    def turns(self, turns, with_image):
        """[(kind, question, answer)] -> ids after the head (or after the image) and, for each, the number of the turn whose answer it
        belongs to, counted from 1; 0 where nothing is learned. An answer ends with </s>."""
        ids, owner = [], []
        for i, texts in enumerate(self.texts(turns, with_image)):
            asked, said = map(self.ids, texts)
            said = said + [EOS]
            ids += asked + said
            owner += [0] * len(asked) + [i + 1] * len(said)
        return ids, owner


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tokenizer.py OUT.model")
    train(sys.argv[1])
