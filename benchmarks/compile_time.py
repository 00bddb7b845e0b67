"""Time the first call of a compiled train step: `python -m benchmarks.compile_time [--rounds 3]`.

Each round takes a build cache of its own and starts two processes, one after the other: the first
compiles everything (cold), the second finds everything stored (warm). Reported are seconds of wall
clock and of CPU time (of Python; of the compilers) for building the model and for the first call.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def measure() -> dict[str, float]:
    """Build the character model and call its compiled train step once, in this process."""
    from benchmarks.char_transformer import char_transformer_train
    from benchmarks.frameworks import framework

    found: dict[str, float] = {}
    started, before = time.perf_counter(), os.times()

    def record(name: str) -> None:
        nonlocal started, before
        now = os.times()
        found[f"{name}: wall"] = time.perf_counter() - started
        found[f"{name}: Python"] = now.user + now.system - before.user - before.system
        children = now.children_user + now.children_system
        found[f"{name}: compilers"] = children - before.children_user - before.children_system
        started, before = time.perf_counter(), os.times()

    intaglio = framework("intaglio")
    step = char_transformer_train(intaglio)
    arguments = [intaglio.tensor(a) for a in step.arrays]
    record("model")
    intaglio.api.jit(step.function)(*arguments)
    record("first call")
    return found


def child(cache: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.compile_time", "--measure"],
        cwd=ROOT,
        env={**os.environ, "INTAGLIO_CACHE": cache},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    made: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return made


def main() -> None:
    """Print the median of each measure over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure()))
        return
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            rounds.append((child(cache), child(cache)))
    print(f"{'seconds':24} {'cold':>8} {'warm':>8}")
    for name in rounds[0][0]:
        cold, warm = (statistics.median(r[k][name] for r in rounds) for k in (0, 1))
        print(f"{name:24} {cold:8.2f} {warm:8.2f}")


if __name__ == "__main__":
    main()
