"""Elementwise work and reductions over rows, without products."""

from typing import Any

import numpy as np

from benchmarks.frameworks import Framework, Step

ROWS, WIDTH = 4096, 1024


def softmax_ln_gelu(fw: Framework) -> Step:
    """Softmax, layer norm and gelu over rows of 1024: 4096 of them."""

    class Chain(fw.nn.Module):  # type: ignore[misc, name-defined]  # the base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.norm = fw.nn.LayerNorm(WIDTH)

        def forward(self, x: Any) -> Any:
            return fw.functional.gelu(self.norm(fw.functional.softmax(x, -1)))

    model = Chain().eval()
    fw.fill(model, seed=0)

    def forward(x: Any) -> Any:
        with fw.no_grad():
            return model(x)

    x = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype(np.float32)
    return Step(forward, (x,), model)


def rows(seed: int) -> np.ndarray:
    """Numbers for 4096 rows of 1024."""
    return np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)


def eager_softmax(fw: Framework) -> Step:
    """Softmax over 4096 rows of 1024."""
    return Step(lambda x: fw.functional.softmax(x, -1), (rows(2),))


def eager_layer_norm(fw: Framework) -> Step:
    """Layer norm over 4096 rows of 1024, with weight and bias."""
    weight, bias = (fw.tensor(rows(seed)[0]) for seed in (3, 4))
    return Step(lambda x: fw.functional.layer_norm(x, (WIDTH,), weight, bias), (rows(5),))


def eager_chain10(fw: Framework) -> Step:
    """Ten elementwise ops, one after the other, on a million elements."""

    def chain(x: Any) -> Any:
        y = ((x * 1.5 + 0.25).tanh() * x - 0.5).exp() + x
        return y.abs().sqrt() / 2.0

    return Step(chain, (rows(6).reshape(-1)[:1_000_000],))
