"""What the trainer must never get wrong: python -m unittest (about a minute, no training)."""
import argparse
import random
import tempfile
import unittest
from pathlib import Path

import torch
from torch import nn

import captions
import checker
import data
import folder
import grammar
import painter_folder
import records
import states
import world
from evaluate import answer
from hints import HintHeads, Hints
from network import MGM, Sizes, normalised
from tokenizer import EOS, Tokenizer

torch.set_num_threads(1)


class StateFiles(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.path = Path(self.place.name) / "a.state"
        states.save(self.path, "words", dict(step=7, weight=torch.arange(1000.0)))
        self.whole = self.path.read_bytes()

    def tearDown(self):
        self.place.cleanup()

    def refused(self, content, says, stage="words"):
        self.path.write_bytes(content)
        with self.assertRaisesRegex(states.StateError, says):
            states.load(self.path, stage)

    def test_comes_back(self):
        self.assertTrue(torch.equal(states.load(self.path, "words")["weight"], torch.arange(1000.0)))

    def test_refuses_cut_damaged_foreign(self):
        self.refused(self.whole[:-1], "cut or grown")
        self.refused(self.whole + b"x", "cut or grown")
        middle = len(self.whole) // 2
        self.refused(self.whole[:middle] + bytes([self.whole[middle] ^ 1]) + self.whole[middle + 1:], "damaged")
        self.refused(b"", "no state")
        self.refused(b"PK\x03\x04 something else", "no state")
        self.refused(self.whole, "stage words, needed is one of stage eyes", "eyes")

    def test_refuses_other_sizes(self):
        with self.assertRaisesRegex(states.StateError, "other sizes"):
            states.fits("x", nn.Linear(3, 4), nn.Linear(4, 4).state_dict())

    def test_goes_on_after_an_interruption(self):
        given = argparse.Namespace(out=str(Path(self.place.name) / "b.state"), minutes=1.0, pause=None, seed=1)
        for first, last in ((0, 3), (3, 5)):
            layer = nn.Linear(2, 2)
            stage = states.Stage("toy", given, dict(layer=layer), torch.optim.AdamW(layer.parameters(), lr=0.1))
            self.assertEqual(stage.step, first)
            if first:
                self.assertTrue(torch.equal(layer.weight, kept))
            for step in stage.steps():
                states.learn(stage.optimizer, layer(torch.ones(1, 2)).sum(), list(layer.parameters()))
                stage.stopping = step + 1 == last
            kept = layer.weight.detach().clone()


class World(unittest.TestCase):
    def test_training_never_shows_held_out_triples(self):
        rng = random.Random(1)
        for _ in range(300):
            self.assertFalse(any(map(world.held_out, world.sample_scene(rng).things)))
            self.assertTrue(any(map(world.held_out, world.sample_scene(rng, "comp").things)))

    def test_a_seed_gives_the_picture(self):
        (a, scene), (b, same) = world.picture(5), world.picture(5)
        self.assertEqual((a.tobytes(), scene), (b.tobytes(), same))

    def test_every_kind_is_asked_and_has_an_answer(self):
        kinds = {kind for seed in range(40) for kind, _ in records.questions(seed, world.picture(seed)[1], grammar.KINDS)}
        self.assertTrue(set(grammar.KINDS) <= kinds)


class Folder(unittest.TestCase):
    tokenizer = Tokenizer(folder.TOKENIZER)

    def test_written_and_read(self):
        with tempfile.TemporaryDirectory() as place:
            net = MGM(Sizes(layers=2)).tie()
            folder.write(net, place)
            again = folder.read(place)
            for key, tensor in net.state_dict().items():
                self.assertTrue(torch.equal(tensor.bfloat16().float(), again.state_dict()[key]), key)

    @torch.no_grad()
    def test_packed_conversations_do_not_see_each_other(self):
        torch.manual_seed(0)
        net, head, seen = MGM(Sizes(layers=2)), torch.tensor(self.tokenizer.head(True)), torch.randn(1, 64, 160)
        turns, other = ([("", f"Where is the {shape}?", "It is at the top.")] for shape in ("star", "ring"))
        alone, _ = data.judge(net, head, data.Packed(self.tokenizer, [[turns]], True), seen)
        packed = data.Packed(self.tokenizer, [[other, turns]], True)
        packed.owner[packed.block == 0] = 0
        beside, _ = data.judge(net, head, packed, seen)
        self.assertAlmostEqual(alone.item(), beside.item(), places=5)

    @torch.no_grad()
    def test_judged_right_is_what_greedy_decoding_says(self):
        torch.manual_seed(0)
        net, head, seen = MGM(Sizes(layers=2)), torch.tensor(self.tokenizer.head(True)), torch.randn(1, 64, 160)
        packed = data.Packed(self.tokenizer, [[[("", "Where is the star?", "x y")]]], True)
        begin = int(packed.owner[0].nonzero()[0])
        said = answer(net, seen[0], head.tolist(), packed.ids[0, :begin].tolist(), limit=4) + [EOS]
        packed.ids = torch.tensor([packed.ids[0, :begin].tolist() + said])
        packed.owner = torch.tensor([[0] * begin + [1] * (len(said) - 1) + [0]])
        packed.block, packed.position = torch.zeros_like(packed.ids), torch.arange(packed.ids.shape[1])[None]
        self.assertEqual(data.judge(net, head, packed, seen)[1], {1: True})
        packed.ids[0, begin] = (packed.ids[0, begin] + 1) % 700
        self.assertEqual(data.judge(net, head, packed, seen)[1], {1: False})

    def test_hints_stand_where_a_thing_is_named(self):
        things = [world.Thing("sign", "blue", 3, "ABC"), world.Thing("star", "red", 5), world.Thing("ring", "green", 8)]
        turns = [("relation", "What is left of the star?", "A blue sign is left of the star."),
                 ("count", "How many green rings are there?", "There is one green ring.")]
        packed = data.Packed(self.tokenizer, [[turns]], True)
        hints, pieces = Hints(self.tokenizer, packed, [world.Scene("grey", things)]), self.tokenizer.raw.id_to_piece
        before = [pieces(int(packed.ids[row, at])) for row, at in hints.far[0].tolist()]
        self.assertEqual([p.strip("▁") for p in before], ["star", ":", "A", "blue"])
        self.assertEqual(hints.far[1].tolist(), [[4, 7, 3]] * 4)
        named = [pieces(int(packed.ids[row, at])).strip("▁") for row, at in hints.near[0].tolist()]
        self.assertEqual((named, hints.near[1].argmax(1).tolist()), (["star", "rings"], [5, 8]))

    def test_hints_leave_the_answers_loss_alone(self):
        torch.manual_seed(0)
        net, head, seen = MGM(Sizes(layers=3)), torch.tensor(self.tokenizer.head(True)), torch.randn(1, 64, 160)
        scene = world.picture(3)[1]
        packed = data.Packed(self.tokenizer, [[grammar.ask(random.Random(1), scene, "describe")]], True)
        taps = {0: None, 1: None}
        with torch.no_grad():
            self.assertEqual(data.judge(net, head, packed, seen, taps)[0], data.judge(net, head, packed, seen)[0])
            loss, known = HintHeads(160, 0, 1).loss(taps, Hints(self.tokenizer, packed, [scene]))
        self.assertTrue(loss > 0 and 0 <= known["thing"] <= 1)


class Generator(unittest.TestCase):
    def test_each_word_of_a_caption_is_one_id(self):
        tokenizer, rng = captions.CaptionTokenizer(), random.Random(2)
        for _ in range(50):
            scene = captions.random_scene(rng)
            self.assertFalse(any(map(world.held_out, scene.things)))
            text = grammar.caption(scene)
            ids = tokenizer.ids(text, 48)
            self.assertEqual((len(ids), ids.index(tokenizer.vocabulary[captions.END])), (48, 1 + len(text.replace(",", " ,").split())))
            pieces = {i: p for p, i in tokenizer.vocabulary.items()}
            said = [pieces[ids[at]].removesuffix("</w>") for at in captions.slots(scene, tokenizer)]
            self.assertEqual(said, [world.PLACES[t.place].split()[-1] for t in scene.things])

    def test_the_checker_sees_what_was_drawn(self):
        for seed in range(20):
            rng = random.Random(seed)
            scene = captions.random_scene(rng)
            ground, seen = checker.look(world.render(scene, rng)[0].resize((64, 64)))
            self.assertEqual(ground, scene.background)
            self.assertEqual({p: (s.kind, s.colour) for p, s in seen.items()}, {t.place: (t.kind, t.colour) for t in scene.things})

    def test_folder_written_and_read_within_its_size(self):
        with tempfile.TemporaryDirectory() as place:
            torch.manual_seed(0)
            nets = painter_folder.networks()
            painter_folder.write(nets, place, 0.5)
            again = painter_folder.read(place)
            self.assertEqual(again.pop("scaling"), 0.5)
            for part, net in again.items():
                for key, tensor in nets[part].state_dict().items():
                    self.assertTrue(torch.equal(tensor.half().float(), net.state_dict()[key]), f"{part} {key}")
            self.assertLess(sum(f.stat().st_size for f in Path(place).rglob("*") if f.is_file()), 8e6)


if __name__ == "__main__":
    unittest.main()
