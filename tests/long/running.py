"""The runtime's checks with full counts.

    python tests/long/running.py [--calls 100000] [--cycles 200] [--forks 100] [--damage 700]
                                 [--workers 8] [--rounds 20]

Give 0 for what is not wanted."""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime import test_build, test_endurance


def timed(name: str, count: int, check: Callable[[], None]) -> None:
    """Run a check, unless its count is 0, and say how long it took."""
    if count:
        start = time.perf_counter()
        check()
        print(f"{name}: {count}, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    """Parse the counts and run the checks in a cache of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    counts = {"calls": 100000, "cycles": 200, "forks": 100, "damage": 700, "workers": 8}
    for name, count in (counts | {"rounds": 20}).items():
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # each damaged entry is told about
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INTAGLIO_CACHE"] = folder
        timed("calls", given.calls, lambda: test_endurance.check_calls(given.calls))
        timed("models", given.cycles, lambda: test_endurance.check_cycles(given.cycles))
        timed("forks", given.forks, lambda: test_endurance.check_forks(given.forks))
        timed("damaged entries", given.damage, lambda: test_build.check_damage(given.damage))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INTAGLIO_CACHE"] = folder
        workers, rounds = given.workers, given.rounds
        timed(
            "processes",
            workers,
            lambda: test_build.check_processes(Path(folder), workers, rounds),
        )


if __name__ == "__main__":
    main()
