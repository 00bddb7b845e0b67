"""Memory shared between processes, with full counts.

    python tests/long/sharing.py [--mebibytes 1024] [--tensors 100000] [--kills 100]

Give 0 for what is not wanted."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import intaglio as ig
import intaglio.multiprocessing as mp
from tests.frontend import test_multiprocessing as checks


def shared_memory() -> int:
    """Bytes of shared memory in use on this machine."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(x.split()[1]) << 10 for x in lines if x.startswith("Shmem:"))


def large(mebibytes: int) -> None:
    """A large tensor is an argument of a child."""
    for method in checks.METHODS:
        start, before = time.perf_counter(), shared_memory()
        extra = checks.check_large(method, mebibytes)
        left = shared_memory() - before
        print(
            f"{method}: {mebibytes} MiB shared, {extra / 2**20:.1f} MiB of the child's own,"
            f" {left / 2**20:.0f} MiB more shared memory afterwards,"
            f" {time.perf_counter() - start:.1f} s",
            flush=True,
        )


def many(count: int) -> None:
    """Small tensors go to a child and back, a thousand on their way at a time."""
    for method in checks.METHODS:
        context = mp.get_context(method)
        given, answers = context.Queue(), context.Queue()
        child = checks.started(method, checks.write_and_return, given, answers)
        given.put(ig.zeros(1))  # opens what all others use
        answers.get()
        start = time.perf_counter()
        for _ in range(0, count, 1000):
            checks.send_many(given, answers, 1000)
        given.put(None)
        checks.ended(child)
        seconds = time.perf_counter() - start
        print(f"{method}: {count} tensors there and back in {seconds:.1f} s", flush=True)


def kills(count: int) -> None:
    """Receivers are killed."""
    start, before = time.perf_counter(), shared_memory()
    checks.check_kills(count, 16)
    left = shared_memory() - before
    print(
        f"{count} receivers of 16 MiB killed, {left / 2**20:.0f} MiB more shared memory"
        f" afterwards, {time.perf_counter() - start:.1f} s",
        flush=True,
    )


def main() -> None:
    """Parse the counts and run the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--tensors", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=100)
    given = parser.parse_args()
    for check, count in ((large, given.mebibytes), (many, given.tensors), (kills, given.kills)):
        if count:
            check(count)


if __name__ == "__main__":
    main()
