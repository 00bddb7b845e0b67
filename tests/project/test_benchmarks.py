"""The benchmark harness: its statistics, its verdicts, and one real round of the NumPy peer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.perceptrons import numpy_tiny_train
from benchmarks.report import Row, as_json, check_answers, milliseconds, table
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]


def rows() -> list[Row]:
    return [
        Row("add", "numpy", [1e-6, 2e-6, 3e-6], 0.5, [1.0, 2.0]),
        Row("add", "torch", [4e-6, 4e-6, 4e-6], 0.5, [1.0, 2.0]),
        Row("add", "intaglio_jit", [1e-6, 1e-6, 1e-6], 0.5, [1.0, 2.0]),
        Row("add", "jax", missing="No module named 'jax'"),
    ]


def test_table_orders_by_median_and_states_ratios() -> None:
    lines = table({"cpu": "a processor"}, rows()).splitlines()
    assert lines[0] == "cpu a processor"
    assert lines[4] == "| add | intaglio_jit | 0.001 | 0 | 0.50 | 0.25 | 0.50 | 3 |"
    assert lines[5] == "| add | numpy | 0.002 | 0.002 | 1.00 | 0.50 | 0.50 | 3 |"
    assert lines[6].startswith("| add | torch | 0.004 | 0 | 2.00 | 1.00 |")
    assert lines[7].startswith("| add | jax | absent: No module named 'jax' |")


def test_our_own_rows_are_no_peers() -> None:
    only_ours = [Row("add", "intaglio_jit", [1e-6])]
    assert "| 0.001 | 0 | - | - |" in table({}, only_ours)


@pytest.mark.parametrize("answer", [[1.0, 2.1], [1.0], [1.0, float("nan")]])
def test_another_answer_is_a_failure(answer: list[float]) -> None:
    found = rows()
    found[2].answer = answer
    check_answers(found)
    assert [row.failed is None for row in found] == [True, True, False, True]
    assert "FAILED" in table({}, found)


def test_milliseconds_keep_three_digits() -> None:
    assert [milliseconds(x) for x in (4.68e-8, 1.5e-3, 2.0)] == ["0.0000468", "1.5", "2000"]


def test_results_can_be_kept() -> None:
    kept = json.loads(json.dumps(as_json({"cpu": "a"}, rows())))
    assert kept["rows"][0]["samples"] == [1e-6, 2e-6, 3e-6]


def test_every_workload_has_torch_and_ours() -> None:
    for workload in WORKLOADS.values():
        assert {"torch", "intaglio_eager"} <= set(workload.peers)


def test_numpy_training_step_learns() -> None:
    step = numpy_tiny_train()
    losses = [float(step()) for _ in range(200)]
    assert losses[-1] < 0.5 * losses[0]
    assert np.isfinite(losses).all()


def test_a_worker_serves_rounds() -> None:
    command = [sys.executable, "-m", "benchmarks.worker", "eager_add", "numpy"]
    surroundings = {**os.environ, "BENCHMARK_THREADS": "1"}
    done = subprocess.run(
        command,
        input="0.01\n0.01\n",
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    first, *rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["answer"] == [7.0] * 24
    assert len(rounds) == 2
    assert all(0 < t < 1e-3 for r in rounds for t in r["samples"])
