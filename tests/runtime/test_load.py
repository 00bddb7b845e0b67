"""Files as models: loading, running, saving again, and what loading may import."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.errors import FormatError, MemoryError
from intaglio.runtime import load
from intaglio.runtime.file import write
from tests.runtime import programs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "model.ig"
    write(made, programs.program(), programs.values(), {"data": "v1"})
    return made


def test_a_file_runs_and_saves_to_the_same_bytes(path: Path, tmp_path: Path) -> None:
    model = load(path)
    x = programs.inputs(6)
    want = np.tanh(x @ programs.values()["w"] + programs.values()["b"])
    assert np.allclose(model(x), want, atol=1e-6)
    assert model.functions == ("forward", "train")
    assert dict(model.metadata) == {"data": "v1"}
    model.save(tmp_path / "again.ig")
    assert (tmp_path / "again.ig").read_bytes() == path.read_bytes()


def test_training_resumes_bit_for_bit(path: Path, tmp_path: Path) -> None:
    x, ids = programs.inputs(5), np.array([0, 1, 2, 1, 0])
    straight, first = load(path), load(path)
    for k in range(6):
        if k == 3:
            first.save(tmp_path / "half.ig")
            first = load(tmp_path / "half.ig")
        straight.train(x * k, ids)
        first.train(x * k, ids)
    assert first.state["b"].tobytes() == straight.state["b"].tobytes()
    assert path.read_bytes() != (tmp_path / "half.ig").read_bytes()


def test_a_model_may_overwrite_its_own_file(path: Path) -> None:
    model = load(path)
    model.train(programs.inputs(1), np.array([2]))
    model.save(path, metadata={"step": 1})
    again = load(path)
    assert dict(again.metadata) == {"step": 1}
    assert np.array_equal(again.state["b"], model.state["b"])
    assert np.array_equal(model.state["w"], programs.values()["w"])


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.ig").write_bytes(b"no model")
    with pytest.raises(FormatError):
        load(tmp_path / "no.ig")


def test_the_cap_on_memory_covers_the_file(path: Path) -> None:
    with pytest.raises(MemoryError):
        load(path, max_memory=16)


CODE = """
import sys
import numpy as np
from intaglio.runtime import load
m = load({path!r})
print(m(np.zeros((2, 3), np.float32)).shape)
bad = {{"networkx", "tqdm", "click"}} | {{m for m in sys.modules if m.startswith("intaglio._")}}
print(sorted(bad & set(sys.modules)))
"""


def test_a_warm_load_imports_neither_front_end_nor_networkx(path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(path=str(path))],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "(2, 2)\n[]\n"
