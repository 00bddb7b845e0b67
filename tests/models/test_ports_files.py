"""Training scripts written for torch, their steps as files: what the script computes eagerly, the
file's function computes in a model that is loaded, and the command line from the same batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.runtime.file import read
from tests.models.port_judge import Tools, port
from tests.tools.commands import here

STEPS = 2


class Stop(Exception):
    """Enough steps."""


class Filing(Tools):
    """The script's steps: each is saved as a program before its first call, and its arguments and
    results are kept. Tensors that the script reads between steps are those of the program."""

    def __init__(self, folder: Path) -> None:
        super().__init__("intaglio", folder)
        self.steps: dict[str, list[tuple[Any, Any]]] = {}
        self.programs: dict[str, ig.Program] = {}
        self.after: dict[str, Any] = {}
        self.path = folder / "step.ig"

    def compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def kept(*args: Any) -> Any:
            if not self.programs:
                self.programs["step"] = ig.Program().trace("train_step", step, *args)
                self.programs["step"].save(self.path)
            calls = self.steps.setdefault("step", [])
            if len(calls) == STEPS:
                raise Stop
            given = [np.array(x.detach().numpy()) for x in args]
            made = step(*args)
            several = made if isinstance(made, tuple) else (made,)
            calls.append((given, [np.array(x.detach().numpy()) for x in several]))
            found = self.programs["step"].state
            self.after = {k: v for k, v in found.items() if not k.startswith("random.")}
            return made

        return kept


def begun(name: str, folder: Path) -> Filing:
    """A script after its first steps."""
    tools = Filing(folder)
    with pytest.raises(Stop):
        port(name, "intaglio").main(tools)
    return tools


def names(quick: str, slow: str) -> list[Any]:
    """Names of scripts; those that take long to compile run with the comparisons with torch."""
    return [*quick.split(), *(pytest.param(n, marks=pytest.mark.torch) for n in slow.split())]


@pytest.mark.parametrize(
    "name", names("dqn vae", "distillation metric_learning style transformer_lm")
)
def test_step_from_a_file(name: str, tmp_path: Path) -> None:
    tools = begun(name, tmp_path)
    model = ig.load(tools.path)
    for given, expected in tools.steps["step"]:
        made = model.train_step(*given)
        several = made if isinstance(made, tuple | list) else (made,)
        for ours, theirs in zip(several, expected, strict=True):
            assert np.array_equal(ours, theirs)
    for key, value in tools.after.items():
        assert np.array_equal(model.state[key], value), key


@pytest.mark.parametrize("name", names("vae", "distillation transformer_lm"))
def test_step_by_the_command_line(name: str, tmp_path: Path) -> None:
    tools = begun(name, tmp_path)
    keys = tools.programs["step"].functions["train_step"].parameters
    calls = [given for given, _ in tools.steps["step"]]
    rows = {len(x) for given in calls for x in given}
    assert len(rows) == 1
    columns = zip(*calls, strict=True)
    np.savez(
        tmp_path / "data.npz", **{n: np.concatenate(c) for n, c in zip(keys, columns, strict=True)}
    )
    done = here(
        "train", str(tools.path), "--data", str(tmp_path / "data.npz"), "--no-shuffle",
        "--batch-size", str(rows.pop()), "--epochs", "1", "--out", str(tmp_path / "out.ig"),
    )  # fmt: skip
    assert done.code == 0, done.err
    found = read(tmp_path / "out.ig").values
    for key, value in tools.after.items():
        assert np.array_equal(found[key], value), key
