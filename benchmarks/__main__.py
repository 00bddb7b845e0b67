"""Time workloads beside their peers: `python -m benchmarks [WORKLOAD ...] [--peers a,b]`.

Each peer of a workload has a process of its own, and the rounds are interleaved (A B C A B C ...),
so that what disturbs the machine for a while disturbs all alike. Compare ratios, not milliseconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.workloads import ON_GPU, WORKLOADS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SET_UP_LIMIT = 600.0  # seconds
PAUSE = 0.3  # seconds between two rounds: threads of the one before stop spinning


class Worker:
    """The process of one peer."""

    def __init__(self, row: report.Row, environment: dict[str, str]) -> None:
        self.row = row
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # lives as long as the process
        command = [sys.executable, "-m", "benchmarks.worker", row.workload, row.peer]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def hear(self, limit: float) -> dict[str, Any]:
        """The next report of the process, or why there is none within the limit."""
        assert self.process.stdout is not None
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            heard: dict[str, Any] = json.loads(line)
            return heard
        self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines() or ["it said nothing"]
        return {"failed": f"ended with code {self.process.returncode}: {said[-1][:160]}"}

    def start(self) -> bool:
        """Wait for the first answer; whether there is something to time."""
        for name, value in self.hear(SET_UP_LIMIT).items():
            setattr(self.row, name, value)
        return not (self.row.failed or self.row.missing)

    def round(self, seconds: float) -> None:
        """One round of samples."""
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        heard = self.hear(60 + 20 * seconds)
        self.row.failed = heard.get("failed")
        self.row.samples += heard.get("samples", [])

    def end(self) -> None:
        """Close the process's input, which ends it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def environment(threads: int, scratch: str) -> dict[str, str]:
    """The same number of threads for everybody, and empty build caches."""
    count = str(threads)
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {
        **os.environ,
        **{f"{name}_NUM_THREADS": count for name in names},
        "INTAGLIO_THREADS": count,
        "BENCHMARK_THREADS": count,
        "INTAGLIO_CACHE": os.path.join(scratch, "intaglio"),
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(scratch, "inductor"),
    }


def measure(name: str, peers: list[str], arguments: argparse.Namespace) -> list[report.Row]:
    """All peers of one workload, in interleaved rounds."""
    rows = [report.Row(name, peer) for peer in peers]
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory(prefix="intaglio-bench-") as scratch:
        os.mkdir(os.path.join(scratch, "intaglio"), mode=0o700)
        surroundings = environment(arguments.threads, scratch)
        try:
            for row in rows:  # one after the other: setting up would disturb another's timing
                worker = Worker(row, surroundings)
                workers.append(worker)
                worker.start()
            for _ in range(arguments.rounds):
                for worker in workers:
                    if not (worker.row.failed or worker.row.missing):
                        time.sleep(PAUSE)
                        worker.round(arguments.seconds)
        finally:
            for worker in workers:
                worker.end()
    report.check_answers(rows)
    return rows


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all when none")
    parser.add_argument(
        "--peers", help="comma-separated; all of the workload on the CPU when not given"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one round of one peer")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=2)
    arguments = parser.parse_args()
    for name in arguments.workloads:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    return arguments


def main() -> int:
    """Measure, print the table, keep the figures; 1 when a peer failed or gave another answer."""
    arguments = parse()
    wanted = set(arguments.peers.split(",")) if arguments.peers else None
    header = machine.describe(arguments.threads)
    rows: list[report.Row] = []
    for name in arguments.workloads or WORKLOADS:
        peers = [p for p in WORKLOADS[name].peers if wanted is None or p in wanted]
        peers += [p for p in ON_GPU if wanted is not None and p in wanted]
        print(f"{name}: {', '.join(peers)}", file=sys.stderr)
        rows += measure(name, peers, arguments)
    print(report.table(header, rows))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(report.as_json(header, rows), indent=1))
    print(f"kept in {path.relative_to(ROOT)}", file=sys.stderr)
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
