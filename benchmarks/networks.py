"""Networks that people write for torch (`examples/models`), under either framework: only their
imports are replaced, which are those of intaglio there."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.frameworks import Build, Framework, Step

SOURCES = Path(__file__).parents[1] / "examples" / "models"
_numbers = itertools.count()


def for_torch(text: str) -> str:
    """A source in terms of intaglio in terms of torch: its import lines replaced."""
    lines = text.replace("import intaglio as torch\n", "import torch\n").split("\n")
    imports = re.compile(r"^(from|import) intaglio\b")
    return "\n".join(imports.sub(r"\1 torch", line) for line in lines)


def source(name: str, framework: str) -> ModuleType:
    """A file of `examples/models` as a fresh module in terms of `intaglio` or `torch`."""
    path = SOURCES / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    module = ModuleType(f"{framework}_{name}_{next(_numbers)}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    code = compile(for_torch(text) if framework == "torch" else text, str(path), "exec")
    exec(code, module.__dict__)  # noqa: S102  # our own file
    return module


def image_network(name: str, maker: str, batch: int, size: int = 224) -> Build:
    """A network for images f32[batch,3,size,size], forward only."""

    def build(fw: Framework) -> Step:
        model = getattr(source(name, fw.api.__name__), maker)()
        fw.fill(model, seed=0)
        model.eval()

        def forward(x: Any) -> Any:
            with fw.no_grad():
                return model(x)

        return Step(forward, (pixels(batch, 3, size),), model)

    return build


def pixels(batch: int, channels: int, size: int) -> np.ndarray:
    """Images with values from -1 to 1."""
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (batch, channels, size, size)).astype(np.float32)


def lenet(fw: Framework) -> Any:
    """Two 3x3 convolutions, a pool, two linear layers, for 28x28 images."""
    nn = fw.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    fw.fill(model, seed=0)
    return model


def lenet_forward(fw: Framework) -> Step:
    """The small network on 32 images."""
    model = lenet(fw).eval()

    def forward(x: Any) -> Any:
        with fw.no_grad():
            return model(x)

    return Step(forward, (pixels(32, 1, 28),), model)


def lenet_train(fw: Framework) -> Step:
    """One step of SGD with momentum on 64 images."""
    model = lenet(fw)
    optimizer = fw.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = fw.functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (pixels(64, 1, 28), np.arange(64) % 10))
