"""State files and the loop that all stages share: budget in CPU minutes, progress with time left, saving, going on after an interruption.

A state file is one line of text, `MGM-Tiny state 1 STAGE SHA256 LENGTH`, and then LENGTH bytes that torch.load reads without running
any code from them. It is written beside its place and moved there, so a reader sees the old one or the new one.
"""
import hashlib
import io
import math
import os
import signal
import sys
import time
from collections import defaultdict, deque
from pathlib import Path

import torch

MAGIC = "MGM-Tiny state 1"


class StateError(Exception):
    """A file that is cut, damaged, or no state of this trainer."""


def save(path, stage, content):
    """Writes `content` (a dict of plain values and tensors) as the state of a stage, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    part = Path(str(path) + ".part")
    with open(part, "wb") as file:
        file.write(f"{MAGIC} {stage} {hashlib.sha256(payload).hexdigest()} {len(payload)}\n".encode())
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path, stage=None):
    """The content of a state file. StateError where the file is cut, damaged, foreign, or the state of another stage than `stage`."""
    try:
        with open(path, "rb") as file:
            line, payload = file.readline(256), file.read()
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror})") from None
    words = line.decode("ascii", "replace").split()
    if " ".join(words[:3]) != MAGIC or len(words) != 6:
        raise StateError(f"{path}: no state of this trainer (its first line should begin with {MAGIC!r})")
    if stage and words[3] != stage:
        raise StateError(f"{path}: the state of stage {words[3]}, needed is one of stage {stage}")
    if words[5] != str(len(payload)):
        raise StateError(f"{path}: cut or grown, {len(payload)} bytes where the first line says {words[5]}; take an older copy")
    if hashlib.sha256(payload).hexdigest() != words[4]:
        raise StateError(f"{path}: damaged, the checksum differs; take an older copy")
    return torch.load(io.BytesIO(payload), weights_only=True)


def fits(path, module, tensors):
    """Loads tensors into a module; StateError naming the first that does not fit."""
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape:
            here, there = (list(d[name].shape) if name in d else "nothing" for d in (wanted, tensors))
            raise StateError(f"{path}: {name} is {there}, this network has {here}; the state is of other sizes")
    module.load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in tensors.items()})


def common(parser, minutes, rate):
    """The options that every stage has."""
    parser.add_argument("--out", required=True, help="state file; if it exists the stage goes on from it")
    parser.add_argument("--minutes", type=float, default=minutes, help=f"CPU minutes in all, over all interruptions (default {minutes:g})")
    parser.add_argument("--rate", type=float, default=rate, help=f"peak learning rate (default {rate:g})")
    parser.add_argument("--seed", type=int, default=1, help="of the training data; held-out data has seeds of its own")
    parser.add_argument("--pause", help="sleep while this file exists, so that others can time something")
    return parser


class Stage:
    """A training that can be interrupted (Ctrl-C and SIGTERM save and leave) and goes on where it was.

    modules: {name: nn.Module}, all saved whole. optimizer: its groups' "lr" times the schedule (warm-up of 100 steps, then a cosine
    down to a thirtieth over the CPU minutes given).
    """

    def __init__(self, name, given, modules, optimizer, every=180.0):
        self.name, self.given, self.modules, self.optimizer, self.every = name, given, modules, optimizer, every
        self.step, self.spent, self.stopping, self.moving, self.hits = 0, 0.0, False, {}, defaultdict(lambda: deque(maxlen=300))
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        if Path(given.out).exists():
            state = load(given.out, name)
            for key, module in modules.items():
                if key not in state:
                    raise StateError(f"{given.out}: holds no {key}; an older form of this stage made it, start from its exported folder")
                fits(given.out, module, state[key])
            optimizer.load_state_dict(state["optimizer"])
            self.step, self.spent = state["step"], state["spent"]
            print(f"{name}: going on from {given.out} at step {self.step}, {self.spent / 60:.1f} CPU minutes spent", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, *_):
        self.stopping = True

    def seed(self, what=""):
        """A seed for the data from here on, another one after each interruption."""
        return f"{self.name} {self.given.seed} {self.step} {what}"

    def save(self, **more):
        content = {key: module.state_dict() for key, module in self.modules.items()}
        save(self.given.out, self.name, dict(content, optimizer=self.optimizer.state_dict(), step=self.step, spent=self.spent, **more))

    def note(self, **numbers):
        """Moving averages for the progress line."""
        for key, value in numbers.items():
            self.moving[key] = value if key not in self.moving else 0.97 * self.moving[key] + 0.03 * value

    def steps(self, more=dict):
        """Yields the step's number until the budget is spent. `more()` gives what is saved beside the modules."""
        start, said, saved = time.process_time() - self.spent, time.monotonic(), time.monotonic()
        budget = 60 * self.given.minutes
        while not self.stopping:
            while self.given.pause and os.path.exists(self.given.pause) and not self.stopping:
                time.sleep(2)
            self.spent = time.process_time() - start
            share = self.spent / budget
            if share >= 1:
                break
            factor = min(1, (self.step + 1) / 100) * (1 / 30 + 29 / 30 * 0.5 * (1 + math.cos(math.pi * share)))
            for group, peak in zip(self.optimizer.param_groups, self.peaks):
                group["lr"] = peak * factor
            yield self.step
            self.step += 1
            if time.monotonic() - said > 30:
                said = time.monotonic()
                numbers = " ".join(f"{k} {v:.4g}" for k, v in self.moving.items())
                kinds = " ".join(f"{k} {100 * sum(v) / len(v):.0f}" for k, v in sorted(self.hits.items()))
                left = (budget - self.spent) / 60
                print(f"{self.name} step {self.step}, {self.spent / 60:.1f} CPU min, {left:.1f} left | {numbers} | {kinds}", flush=True)
            if time.monotonic() - saved > self.every:
                saved = time.monotonic()
                self.save(**more())
        self.save(**more())
        print(f"{self.name}: {'interrupted' if self.stopping else 'done'} at step {self.step}, saved to {self.given.out}", flush=True)


def learn(optimizer, loss, parameters, limit=1.0):
    """One step down, the gradient's norm limited."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, limit)
    optimizer.step()


class Average:
    """A slowly moving average of trained parameters; what is judged and exported."""

    def __init__(self, parameters, keep=0.998):
        self.parameters, self.keep, self.updates = parameters, keep, 0
        self.values = {k: p.detach().clone() for k, p in parameters.items()}

    @torch.no_grad()
    def update(self):
        self.updates += 1
        keep = min(self.keep, self.updates / (self.updates + 30))
        for key, p in self.parameters.items():
            self.values[key].lerp_(p, 1 - keep)

    @torch.no_grad()
    def swap(self):
        """Exchanges the average and the live parameters; call twice to undo."""
        for key, p in self.parameters.items():
            live = p.detach().clone()
            p.copy_(self.values[key])
            self.values[key] = live


def guarded(main):
    """Runs a stage; a bad state or a missing file becomes one line and exit status 1."""
    torch.set_num_threads(1)
    try:
        main()
    except (StateError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
