"""Training runs under random and hostile conditions. Every case follows from its number, which is
printed where one fails.

    python tests/long/chaos.py [PART ...] [--count 100] [--first 0]

Parts: loaders, signals, checkpoints, sharing, optimizers, training. Under a Python that has torch,
optimizers are also compared with its own."""

import argparse
import faulthandler
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.long import chaos_loaders, chaos_optimizers, chaos_state, chaos_training

PARTS: dict[str, Callable[[int], None]] = {
    "loaders": chaos_loaders.loader,
    "signals": chaos_loaders.signalled,
    "checkpoints": chaos_state.checkpoint,
    "sharing": chaos_state.sharing,
    "optimizers": chaos_optimizers.optimizer,
    "training": chaos_training.course,
}
HANGS = 300
"""Seconds after which a case has hung; then all stacks are printed."""


def run(name: str, numbers: range) -> int:
    """All cases of a part; how many failed."""
    failed, started, before = 0, time.perf_counter(), chaos_loaders.resources()
    for number in numbers:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            PARTS[name](number)
        except Exception:
            failed += 1
            print(f"{name} {number}:\n{traceback.format_exc(limit=-4)}", flush=True)
        faulthandler.cancel_dump_traceback_later()
    after = chaos_loaders.resources()
    seconds = time.perf_counter() - started
    print(f"{name}: {failed} of {len(numbers)} cases failed, {seconds:.1f} s", flush=True)
    if after != before:
        print(f"  descriptors, segments, children: {before} before, {after} after", flush=True)
    return failed


def main() -> None:
    """Parse the counts and run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    numbers = range(given.first, given.first + given.count)
    sys.exit(sum(run(name, numbers) for name in given.parts or PARTS) > 0)


if __name__ == "__main__":
    main()
