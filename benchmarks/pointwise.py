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
