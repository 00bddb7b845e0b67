"""Samples per second of DataLoaders: `python -m benchmarks.loading [--workers 0,2] [--rounds 5]`.

Each library has a process of its own per case, and rounds (one epoch each) are interleaved. Batches
are only counted and their labels added up, which must give the same in both libraries."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = ("torch", "intaglio")
SAMPLES, FEATURES, BATCH = 50_000, 64, 64
CASES = {
    "tensors": "TensorDataset of f32[50000, 64] and i64[50000], batch 64",
    "rows": "a Python dataset of NumPy rows: (f32[64], int), batch 64",
    "rows_tensor": "a Python dataset of tensors: (f32[64], int), batch 64",
    "floats": "a Python dataset of tensors made of 64 Python floats, batch 64",
    "images": "a Python dataset of u8[64, 64, 3] made f32[3, 64, 64], 4000 of them, batch 64",
}


class Rows:
    """Examples by number: `make(k)`, and the number's last digit."""

    def __init__(self, size: int, make: Any) -> None:
        self.size, self.make = size, make

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, k: int) -> tuple[Any, int]:
        return self.make(k), k % 10


def dataset(case: str, api: Any, data: Any) -> Any:
    """The dataset of a case, for `api` (torch or intaglio) and `data` (its `utils.data`)."""
    x = np.random.default_rng(0).random((SAMPLES, FEATURES), dtype=np.float32)
    tensor = api.from_numpy(x)
    if case == "tensors":
        return data.TensorDataset(tensor, api.arange(SAMPLES) % 10)
    if case == "rows":
        return Rows(SAMPLES, lambda k: x[k])
    if case == "rows_tensor":
        return Rows(SAMPLES, lambda k: tensor[k])
    if case == "floats":
        lists = x[:1000].tolist()
        return Rows(SAMPLES, lambda k: api.tensor(lists[k % 1000]))
    images = np.random.default_rng(0).integers(0, 256, (400, 64, 64, 3), dtype=np.uint8)
    scale = np.float32(1 / 255)
    return Rows(4000, lambda k: images[k % 400].transpose(2, 0, 1) * scale)


def serve(peer: str, case: str, workers: int, persistent: bool) -> None:
    """Time one epoch for each line of the input."""
    api, data = import_module(peer), import_module(f"{peer}.utils.data")
    api.set_num_threads(1)
    options = {"persistent_workers": persistent} if workers else {}
    source = dataset(case, api, data)
    loader = data.DataLoader(source, BATCH, shuffle=True, num_workers=workers, **options)
    for line in sys.stdin:
        started, count = time.perf_counter(), 0
        for x, _ in loader:
            count += len(x)
        seconds = time.perf_counter() - started
        labels = sum(int(y.sum()) for _, y in loader) if line == "check\n" else 0
        print(json.dumps({"rate": count / seconds, "count": count, "labels": labels}), flush=True)


def ask(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """One epoch of a peer."""
    assert process.stdin is not None and process.stdout is not None
    print(line, file=process.stdin, flush=True)
    heard: dict[str, Any] = json.loads(process.stdout.readline())
    return heard


def measure(case: str, workers: int, rounds: int, persistent: bool) -> dict[str, list[float]]:
    """The rates of all peers in interleaved rounds."""
    keep = ["--persistent"] if persistent else []
    common = ["--case", case, "--workers", str(workers), *keep]
    command = [sys.executable, "-m", "benchmarks.loading", *common, "--serve"]
    pipe = subprocess.PIPE
    processes = {
        peer: subprocess.Popen([*command, peer], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        for peer in PEERS
    }
    checks = [ask(process, "check") for process in processes.values()]
    if any(c["labels"] != checks[0]["labels"] for c in checks):
        raise SystemExit(f"{case}: the peers loaded different labels: {checks}")
    rates: dict[str, list[float]] = {peer: [] for peer in PEERS}
    for _ in range(rounds):
        for peer, process in processes.items():
            rates[peer].append(ask(process, "go")["rate"])
    for process in processes.values():
        process.communicate()
    return rates


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--case", choices=CASES, help="one case; all when not given")
    parser.add_argument("--workers", default="0,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--persistent", action="store_true", help="keep workers between epochs")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve, arguments.case, int(arguments.workers), arguments.persistent)
    print("| case | workers | torch | intaglio | x torch |\n|---|---|---|---|---|")
    for case in [arguments.case] if arguments.case else CASES:
        for workers in map(int, arguments.workers.split(",")):
            rates = measure(case, workers, arguments.rounds, arguments.persistent)
            torch, ours = (statistics.median(rates[peer]) for peer in PEERS)
            print(f"| {case} | {workers} | {torch:,.0f} | {ours:,.0f} | {ours / torch:.2f} |")
    return None


if __name__ == "__main__":
    main()
