"""Weights in `.safetensors` and `.npz`: every dtype, damage, whole or not at all."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.compiler.errors import MissingExtra
from intaglio.runtime.datasets import DataError
from intaglio.runtime.weights import DTYPES, load_weights, save_weights

pytest.importorskip("safetensors")
BOTH = pytest.mark.parametrize("ending", ["safetensors", "npz"])


def every_dtype() -> dict[str, np.ndarray]:
    made = {f"t.{d.name}": np.arange(6).reshape(2, 3).astype(d) for d in DTYPES.values()}
    return made | {"scalar": np.array(2.5), "empty": np.zeros((0, 4), np.float32)}


@BOTH
def test_every_dtype_comes_back_with_its_bits(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"w.{ending}"
    save_weights(path, every_dtype())
    made = load_weights(str(path))
    assert made.keys() == every_dtype().keys()
    for name, array in every_dtype().items():
        assert (made[name].dtype, made[name].shape) == (array.dtype, array.shape), name
        assert made[name].tobytes() == array.tobytes(), name
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_the_package_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    import safetensors.numpy

    arrays = {n: a for n, a in every_dtype().items() if "bfloat" not in n}
    save_weights(tmp_path / "ours.safetensors", arrays)
    theirs = safetensors.numpy.load_file(tmp_path / "ours.safetensors")
    assert all(theirs[n].tobytes() == a.tobytes() for n, a in arrays.items())
    safetensors.numpy.save_file(arrays, tmp_path / "theirs.safetensors", {"made": "there"})
    ours = load_weights(tmp_path / "theirs.safetensors")
    assert all(ours[n].tobytes() == a.tobytes() for n, a in arrays.items())


def test_the_arrays_of_a_safetensors_file_are_views_of_it(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.arange(1 << 16), "b": np.ones(3, np.int8)})
    made = load_weights(path)
    assert not made["a"].flags.owndata
    assert not made["a"].flags.writeable
    save_weights(path, {"a": np.zeros(3)})
    assert made["a"][-1] == (1 << 16) - 1, "the file is replaced, never written into"


@BOTH
def test_a_module_takes_them_and_gives_them(tmp_path: Path, ending: str) -> None:
    ig.manual_seed(1)
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    ig.save_weights(tmp_path / f"w.{ending}", first.state_dict())
    second.load_state_dict(ig.load_weights(tmp_path / f"w.{ending}"))
    x = ig.randn(2, 4)
    assert np.array_equal(first(x).detach().numpy(), second(x).detach().numpy())
    with ig.no_grad():
        second.weight.zero_()  # its memory is its own, not the file's
    assert np.any(ig.load_weights(tmp_path / f"w.{ending}")["weight"])


def test_damaged_files_are_data_errors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.arange(100), "b": np.ones(3, np.int8)})
    whole = path.read_bytes()
    for length in (0, 5, 8, 40, 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"w\.safetensors"):
            load_weights(path)
    for header in (
        {"a": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1 << 60]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2]}}, {"a": 3}, [1],
    ):  # fmt: skip
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        with pytest.raises(DataError, match=r"w\.safetensors"):
            load_weights(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        load_weights(path)


def test_what_no_file_holds_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(3)})
    before = path.read_bytes()
    for wrong in (np.array(["x"]), np.array([1j]), np.array([{}])):
        with pytest.raises(DataError, match="'a' holds"):
            save_weights(path, {"a": wrong})
    assert path.read_bytes() == before
    with pytest.raises(DataError, match="safetensors and"):
        save_weights(tmp_path / "w.pt", {})
    with pytest.raises(OSError, match="No such file"):
        save_weights(tmp_path / "no" / "w.npz", {})
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_without_the_package_the_error_has_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtra, match=r"pip install 'intaglio\[safetensors\]'"):
        load_weights(tmp_path / "w.safetensors")
    save_weights(tmp_path / "w.npz", {"a": np.ones(2)})
    assert load_weights(tmp_path / "w.npz")["a"].tolist() == [1, 1]
