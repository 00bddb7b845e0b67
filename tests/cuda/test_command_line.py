"""run and train with --device cuda: the bits of the CPU."""

from pathlib import Path

import numpy as np

from intaglio.runtime.device.device import Device
from tests.tools import programs
from tests.tools.commands import here


def test_run_and_train_on_a_device(tmp_path: Path, device: Device) -> None:
    model = programs.save(tmp_path / "model.ig")
    np.savez(tmp_path / "d.npz", **programs.data(20))
    made = []
    for name in ("cpu", "cuda"):
        out, trained = tmp_path / f"{name}.npz", tmp_path / f"{name}.ig"
        data = ("--data", tmp_path / "d.npz", "--device", name)
        done = here("run", model, *data, "--batch", 8, "--output", out)
        assert done.code == 0, done.err
        told = here("train", model, *data, "--batch-size", 8, "--out", trained)
        assert told.code == 0, told.err
        made.append((np.load(out)["result"].tobytes(), trained.read_bytes()))
    assert made[0] == made[1]
