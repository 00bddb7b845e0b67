"""The example of ops of one's own: it trains, and its file runs where the script is named."""

import subprocess
import sys

import numpy as np
import pytest

import intaglio as ig
from intaglio.compiler.op import OPS
from tests.examples.scripts import EXAMPLES, example
from tests.tools.commands import alone

pytest.importorskip("scipy")


@pytest.fixture(scope="module", autouse=True)
def leave_no_ops():
    yield
    for name in [n for n in OPS if n.startswith("example::")]:
        del OPS[name]


def test_it_trains_and_its_file_runs_elsewhere(tmp_path, capsys):
    script = example("custom_op")
    model, first, last = script.train(60)
    assert last < 0.7 * first
    script.main(["--steps", "3"])
    assert "the same bits" in capsys.readouterr().out
    x = np.random.default_rng(3).standard_normal((6, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    ig.trace(model, ig.spec((ig.Dim("n", max=64), 4))).save(tmp_path / "m.ig")
    run = ("run", "m.ig", "--input", "x=x.npy", "--output", "y.npy")
    refused = alone(*run, folder=tmp_path)
    assert refused.code == 1 and "--ops FILE.py" in refused.err
    command = [sys.executable, "-m", "intaglio", "--ops", EXAMPLES / "custom_op.py", *run]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "y.npy"), model(ig.tensor(x)).detach().numpy())
