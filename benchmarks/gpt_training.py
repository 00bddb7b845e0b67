"""Time compiled training steps of small transformers beside torch.compile:
`python -m benchmarks.gpt_training [--rounds 5] [--seconds 0.6] [--threads 2]`.

The gradients of one step are compared first, with torch's own; losses of three steps are compared
by the rounds, which are those of `python -m benchmarks`: a process for each peer, one after the
other. Printed is the time of torch.compile over ours.
"""

import argparse
import sys
from typing import Any

import numpy as np

from benchmarks import machine, report
from benchmarks.__main__ import measure
from benchmarks.char_transformer import batch, language_model
from benchmarks.frameworks import Framework, framework

WORKLOADS = (
    "char_transformer_train",
    "char_transformer_4x128_train",
    "char_transformer_clipped_train",
    "gpt_mini_train",
)
PEERS = ["torch", "torch_compile", "intaglio_jit"]
OURS, OTHER = "intaglio_jit", "torch_compile"
TOLERANCE = 1e-4  # of the largest entry of a gradient


def gradients(fw: Framework, width: int, layers: int, compiled: bool) -> dict[str, np.ndarray]:
    """The gradients of the first step's loss, by the names of their parameters."""
    x, t, letters = batch()
    model = language_model(fw, letters, width, layers)
    fw.fill(model, seed=0)
    named = dict(model.named_parameters())

    def step(x: Any, t: Any) -> list[Any]:
        for parameter in named.values():
            parameter.grad = None
        logits = model(x).reshape(-1, letters)
        fw.functional.cross_entropy(logits, t.reshape(-1)).backward()
        return [parameter.grad for parameter in named.values()]

    found = (fw.api.jit(step) if compiled else step)(fw.tensor(x), fw.tensor(t))
    return dict(zip(named, (np.asarray(g.detach()) for g in found), strict=True))


def worst_difference(width: int, layers: int) -> float:
    """How far the compiled gradients are from torch's, as a part of each gradient's largest
    entry."""
    ours = gradients(framework("intaglio"), width, layers, compiled=True)
    theirs = gradients(framework("torch"), width, layers, compiled=False)
    return max(
        float(np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max())
        for name in theirs
        if np.abs(theirs[name]).max() > 1e-7  # keys' biases: zero but for rounding
    )


def main() -> int:
    """Check, measure and print; 1 when something differed or failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="of one round of one peer")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=2)
    parser.add_argument("--workloads", nargs="*", choices=WORKLOADS, default=WORKLOADS)
    options = parser.parse_args()
    header = machine.describe(options.threads)
    worst = max(worst_difference(64, 2), worst_difference(128, 4))
    print(f"gradients: within {worst:.1e} of torch's", file=sys.stderr)
    rows: list[report.Row] = []
    for name in options.workloads:
        found = measure(name, PEERS, options)
        times = {row.peer: row.median for row in found if row.samples}
        if {OURS, OTHER} <= times.keys():
            ratio = times[OTHER] / times[OURS]
            print(f"{name}: torch.compile / jit = {ratio:.2f}", file=sys.stderr, flush=True)
        rows += found
    print(report.table(header, rows))
    return 1 if worst > TOLERANCE or any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
