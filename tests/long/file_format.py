"""The file format's checks with full counts.

    python tests/long/file_format.py [--bytes 20000] [--structure 50000] [--kills 50]
                                     [--chain 200000] [--megabytes 2560] [--seed 0]

Give 0 for what is not wanted. Counts of mutations are for all files together."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from intaglio.runtime.file import read, write
from tests.runtime.file import samples, test_hostile, test_mutations, test_writing, traced


def mutations(folder: Path, by_bytes: int, by_structure: int, seed: int) -> None:
    """Damage every file: bytes, then structure with digests made to fit, through the passes."""
    names = (*samples.ALL, *traced.ALL)
    by_bytes, by_structure = by_bytes // len(names), by_structure // len(names)
    for name in names:
        data = test_mutations.file_of(name, folder / "sample.ig")
        start = time.perf_counter()
        test_mutations.check_bytes(data, folder, by_bytes, seed)
        print(f"{name}: {by_bytes} changes of bytes in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        passed = test_mutations.check_structure(data, folder, by_structure, seed)
        took = time.perf_counter() - start
        print(f"{name}: {by_structure} of structure in {took:.0f} s, {passed} are programs")


def chain(folder: Path, length: int) -> None:
    """A long chain loads without recursion."""
    write(folder / "chain.ig", test_hostile.chain(length), {})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    start = time.perf_counter()
    read(folder / "chain.ig")
    print(f"a chain of {length} nodes: read in {time.perf_counter() - start:.1f} s")
    sys.setrecursionlimit(limit)


def large(folder: Path, megabytes: int) -> None:
    """Saving takes no copy of the weights, loading maps them."""
    path = folder / "large.ig"
    start = time.perf_counter()
    saved = test_writing.memory_of("save", path, megabytes) >> 20
    middle = time.perf_counter()
    loaded = test_writing.memory_of("load", path, megabytes) >> 20
    end = time.perf_counter()
    print(
        f"{megabytes} MiB of weights: saving took {saved} MiB more and {middle - start:.1f} s,"
        f" loading and reading all {loaded} MiB and {end - middle:.1f} s"
    )
    assert saved < 0.2 * megabytes and loaded < 1.2 * megabytes


def kills(folder: Path, count: int) -> None:
    """Kill a process that overwrites a 64 MiB file, at points spread over its work."""
    found = [test_writing.survives_a_kill(folder, 64, 2.0 * k / count) for k in range(count)]
    print(f"{count} kills: {found.count('old')} left the old file, {found.count('new')} the new")


def main() -> None:
    """Run what is asked for; the first check that fails ends it with a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("bytes", 20_000), ("structure", 50_000), ("kills", 50),
        ("chain", 200_000), ("megabytes", 2560), ("seed", 0),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.chain:
            chain(folder, given.chain)
        if given.kills:
            kills(folder, given.kills)
        if given.megabytes:
            large(folder, given.megabytes)
        if given.bytes or given.structure:
            mutations(folder, given.bytes, given.structure, given.seed)


if __name__ == "__main__":
    main()
