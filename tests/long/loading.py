"""Loaders used for many epochs leave nothing behind: descriptors, shared segments, child processes
and memory stay flat, through whole epochs, epochs that are left, exceptions and killed workers. And
workers that are forked after the parent ran a compiled model run it too, round after round.

    python tests/long/loading.py [--epochs 200] [--workers 2] [--rounds 100]
"""

import argparse
import gc
import multiprocessing
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import intaglio as ig
from intaglio.data import DataLoader, Dataset
from intaglio.runtime.loading import LoadingError

WAYS = ("whole", "left", "dropped", "kept", "exception", "killed")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Examples(Dataset[Any]):
    """Batches of 8 are 200 kB: they lie in shared memory. Example 77 may fail."""

    how = ""

    def __len__(self) -> int:
        return 160

    def __getitem__(self, k: int) -> Any:
        if k == 77 and self.how == "exception":
            raise KeyError(k)
        if k == 77 and self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return ig.rand(6400), k


def resources() -> dict[str, int]:
    """What this process holds now."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "segments": maps.count("memfd:intaglio"),
        "children": len(multiprocessing.active_children()),
        "MiB": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE >> 20,
    }


def epoch(loader: DataLoader[Any], dataset: Examples, way: str) -> None:
    """One epoch, used in this way."""
    batches = iter(loader)
    if way == "whole":
        assert sum(len(k) for _, k in batches) == 160
    elif way == "left":
        next(batches)
    elif way == "kept":
        kept = list(batches)
        assert sorted(int(n) for _, k in kept for n in k) == list(range(160))
    elif way in ("exception", "killed"):
        try:
            for _ in batches:
                pass
        except KeyError as error:
            assert way == "exception" and "77" in str(error)
        except LoadingError as error:
            assert way == "killed" and "SIGKILL" in str(error)
        else:
            raise AssertionError(f"no error in an epoch with {way}")
    dataset.how = ""


def run(epochs: int, workers: int, persistent: bool) -> bool:
    """Many epochs with one loader; whether nothing grew."""
    draw, dataset = random.Random(0), Examples()
    loader = DataLoader(
        dataset, 8, shuffle=True, num_workers=workers, persistent_workers=persistent
    )
    ways = [w for w in WAYS if not persistent or w not in ("exception", "killed")]
    for way in ways * 2:
        dataset.how = way
        epoch(loader, dataset, way)
    first, most, started = resources(), resources(), time.perf_counter()
    for _ in range(epochs):
        dataset.how = way = draw.choice(ways)
        epoch(loader, dataset, way)
        most = {name: max(most[name], value) for name, value in resources().items()}
    last = resources()
    seconds = time.perf_counter() - started
    print(f"persistent={persistent}, {epochs} epochs, {seconds:.1f} s")
    print(f"  first {first}\n  most  {most}\n  last  {last}", flush=True)
    same = all(last[name] <= first[name] for name in ("descriptors", "segments", "children"))
    return same and last["MiB"] <= first["MiB"] + 4


class Running(Dataset[Any]):
    """Examples that a compiled model makes."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return 32

    def __getitem__(self, k: int) -> Any:
        with ig.no_grad():
            return self.model(ig.full((256, 64), float(k)))


def forked(rounds: int) -> None:
    """The parent runs the model on all threads, then four workers run it, over and over."""
    dataset = Running(ig.jit(ig.nn.Linear(64, 64)))
    started = time.perf_counter()
    for _ in range(rounds):
        here = [dataset[k] for k in range(32)]
        (there,) = DataLoader(dataset, 32, num_workers=1)
        spread = list(DataLoader(dataset, 2, num_workers=4))
        assert ig.equal(ig.stack(here), there) and ig.equal(ig.cat(spread), there)
    print(f"{rounds} rounds of forked workers with a compiled model: equal bits, no hang,")
    print(f"  {time.perf_counter() - started:.1f} s", flush=True)


def main() -> None:
    """Both kinds of workers, then those that run a model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=100)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    flat = [run(chosen.epochs, chosen.workers, persistent) for persistent in (False, True)]
    forked(chosen.rounds)
    print("flat" if all(flat) else "SOMETHING GREW")
    sys.exit(not all(flat))


if __name__ == "__main__":
    main()
