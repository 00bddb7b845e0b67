"""Random optimizers, schedules, clipping, averages, tied and frozen parameters: eagerly, compiled,
from a program's file and behind a checkpoint with the same bits, and as torch has it."""

import importlib.util
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.optim.swa_utils

TORCH = importlib.util.find_spec("torch") is not None
STEPS, EDITED = 7, 3
ERROR = 1e-9
OPTIMIZERS: dict[str, dict[str, list[Any]]] = {
    "SGD": {"momentum": [0, 0.9], "weight_decay": [0, 0.1], "maximize": [False, True]},
    "Adam": {"weight_decay": [0, 0.1], "amsgrad": [False, True], "betas": [(0.9, 0.99)]},
    "AdamW": {"weight_decay": [0, 0.1], "amsgrad": [False, True]},
    "NAdam": {"weight_decay": [0, 0.1], "decoupled_weight_decay": [False, True]},
    "RAdam": {"weight_decay": [0, 0.1]},
    "Adamax": {"weight_decay": [0, 0.1]},
    "RMSprop": {"momentum": [0, 0.9], "centered": [False, True], "weight_decay": [0, 0.1]},
    "Adagrad": {"lr_decay": [0, 0.1]},
    "Adadelta": {"weight_decay": [0, 0.1]},
    "Rprop": {},
    "ASGD": {"weight_decay": [0, 0.1]},
    "Adafactor": {},
    "Lion": {},
}
SCHEDULES: list[Callable[[Any, Any], Any]] = [
    lambda kinds, made: None,
    lambda kinds, made: kinds.StepLR(made, 2, 0.5),
    lambda kinds, made: kinds.CosineAnnealingLR(made, 5),
    lambda kinds, made: kinds.OneCycleLR(made, 0.05, total_steps=40, cycle_momentum=False),
    lambda kinds, made: kinds.LinearLR(made, 0.5, total_iters=3),
    lambda kinds, made: kinds.CyclicLR(made, 0.001, 0.01, 2, cycle_momentum=False),
    lambda kinds, made: kinds.CosineAnnealingWarmRestarts(made, 3),
    lambda kinds, made: kinds.PolynomialLR(made, 6),
    lambda kinds, made: kinds.SequentialLR(
        made, [kinds.ConstantLR(made, 0.5, 2), kinds.ExponentialLR(made, 0.9)], [2]
    ),
]


@dataclass(frozen=True)
class Config:
    """What a run is made of."""

    number: int
    name: str
    arguments: dict[str, Any]
    schedule: Callable[[Any, Any], Any]
    clip: str
    groups: bool
    tied: bool
    average: bool
    edited: bool
    double: bool
    rate: float


def config(number: int) -> Config:
    """The configuration of a number."""
    draw = random.Random(number)
    name = draw.choice(list(OPTIMIZERS))
    arguments = {key: draw.choice(values) for key, values in OPTIMIZERS[name].items()}
    flags = [draw.random() < 0.4 for _ in range(4)]
    return Config(
        number, name, arguments, draw.choice(SCHEDULES), draw.choice(["", "norm", "value"]),
        *flags, TORCH or draw.random() < 0.5, draw.choice([0.1, 0.01, 0.003]),
    )  # fmt: skip


class Training:
    """A model and all that trains it, of this library or (`kit`) of torch."""

    def __init__(self, made: Config, kit: Any) -> None:
        self.config, self.kit = made, kit
        linear = kit.nn.Linear
        layers = {"a": linear(4, 6), "b": linear(6, 4), "c": linear(4, 6), "fixed": linear(4, 4)}
        self.model = kit.nn.ModuleDict({**layers, "unused": linear(2, 2)})
        if made.tied:
            self.model["c"].weight = self.model["a"].weight
        for parameter in self.model["fixed"].parameters():
            parameter.requires_grad_(False)
        if made.double:
            self.model = self.model.double()
        numbers = np.random.default_rng(made.number)
        with kit.no_grad():
            for p in self.model.parameters():
                p.copy_(kit.tensor(numbers.standard_normal(tuple(p.shape)) * 0.5, dtype=p.dtype))
        every: list[Any] = list(self.model.parameters())
        if made.groups:
            every = [{"params": every[:2]}, {"params": every[2:], "lr": 0.02}]
        self.optimizer = getattr(kit.optim, made.name)(every, lr=made.rate, **made.arguments)
        self.schedule = made.schedule(kit.optim.lr_scheduler, self.optimizer)
        self.average = self._average() if made.average else None

    def _average(self) -> Any:
        kinds = self.kit.optim.swa_utils
        return kinds.AveragedModel(self.model, multi_avg_fn=kinds.get_ema_multi_avg_fn(0.9))

    def step(self, x: Any) -> Any:
        """One step."""
        nn, layers = self.kit.nn, self.model
        self.optimizer.zero_grad()
        hidden = layers["b"](layers["a"](layers["fixed"](x)).tanh())
        loss = (layers["c"](hidden).tanh() - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        if self.config.clip == "norm":
            nn.utils.clip_grad_norm_(layers.parameters(), 0.1)
        elif self.config.clip:
            nn.utils.clip_grad_value_(layers.parameters(), 0.01)
        self.optimizer.step()
        for more in (self.average and self._averaged, self.schedule and self.schedule.step):
            if more:
                more()
        return loss

    def _averaged(self) -> None:
        self.average.update_parameters(self.model)

    def edit(self, step: int) -> None:
        """A number that is changed in the middle."""
        if self.config.edited and step == EDITED:
            group = self.optimizer.param_groups[-1]
            group["lr"] = group["lr"] * 0.5
            if self.config.number % 2 and "weight_decay" in group:
                group["weight_decay"] = 0.05

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        every = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        return {n: p for n, p in (every | {"average": self.average}).items() if p is not None}

    def values(self) -> list[Any]:
        """Parameters, averages and learning rates."""
        averaged = [] if self.average is None else self.average.module.parameters()
        tensors = [*self.model.parameters(), *averaged]
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        return [*(p.detach().numpy().copy() for p in tensors), np.array(rates)]


def same(found: list[Any], wanted: list[Any]) -> bool:
    """Whether all bits are equal."""
    return [a.tobytes() for a in found] == [b.tobytes() for b in wanted]


def optimizer(number: int) -> None:
    """One configuration in all ways of running it."""
    made, cut = config(number), random.Random(~number).randrange(1, STEPS)
    dtype = np.float64 if made.double else np.float32
    rows = [x.astype(dtype) for x in np.random.default_rng(1).standard_normal((STEPS, 5, 4))]
    eager, wanted = Training(made, ig), []
    for k, x in enumerate(rows):
        eager.edit(k)
        eager.step(ig.tensor(x))
        wanted.append(eager.values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.ig"
        compiled = Training(made, ig)
        step = ig.jit(compiled.step)
        for k, x in enumerate(rows):
            compiled.edit(k)
            step(ig.tensor(x))
            assert same(compiled.values(), wanted[k]), (made, "jit", k)
            if k == cut:
                ig.save_checkpoint(path, **compiled.parts())
        resumed(made, path, rows, wanted, cut)
        if not made.edited:
            from_file(made, Path(folder) / "p.ig", rows, wanted[-1])
    if TORCH and made.name != "Lion":
        against_torch(made, rows, wanted)


def resumed(made: Config, path: Path, rows: list[Any], wanted: list[Any], cut: int) -> None:
    """From a checkpoint on, in objects that may have been used."""
    again = Training(made, ig)
    step = ig.jit(again.step) if made.number % 2 else again.step
    if made.number % 3 == 0:
        step(ig.tensor(rows[0]))
    ig.load_checkpoint(path, **again.parts())
    for k in range(cut + 1, STEPS):
        again.edit(k)
        step(ig.tensor(rows[k]))
        assert same(again.values(), wanted[k]), (made, "checkpoint", cut, k)


def from_file(made: Config, path: Path, rows: list[Any], wanted: list[Any]) -> None:
    """In a saved program."""
    traced = Training(made, ig)
    dtype = ig.float64 if made.double else ig.float32
    ig.trace(traced.step, ig.spec((5, 4), dtype), name="train_step").save(path)
    loaded = ig.load(path)
    for x in rows:
        loaded.train_step(x)
    held = {np.asarray(v).tobytes() for v in loaded.state_dict().values()}
    names = [name for name, _ in traced.model.named_parameters()]
    for name, value in zip(names, wanted, strict=False):
        if not name.startswith(("unused", "fixed")):
            assert value.tobytes() in held, (made, "file", name)


def against_torch(made: Config, rows: list[Any], wanted: list[Any]) -> None:
    """As torch trains."""
    import torch

    error = 1e-7 if made.name == "ASGD" else ERROR  # torch keeps its `eta` in f32
    judge = Training(made, torch)
    for k, x in enumerate(rows):
        judge.edit(k)
        judge.step(torch.tensor(x))
        for found, value in zip(judge.values(), wanted[k], strict=True):
            assert np.all(np.abs(found - value) <= error * (1 + np.abs(value))), (made, k)
