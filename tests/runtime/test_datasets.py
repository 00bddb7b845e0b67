"""Data files by name, and casts that lose nothing."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from intaglio.compiler.dtypes import DType, bfloat16, boolean, dtype_named, float32, float64, int64
from intaglio.compiler.types import TensorType
from intaglio.runtime.datasets import (
    DataError,
    as_scalar,
    fit,
    read_named,
    read_one,
    write_npz,
)


def test_npz_and_npy_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), t=np.ones(2))
    np.save(tmp_path / "b.npy", np.arange(4))
    assert sorted(read_named(str(tmp_path / "a.npz"))) == ["t", "x"]
    assert read_named(str(tmp_path / "b.npy"))["b"].tolist() == [0, 1, 2, 3]
    assert read_one(str(tmp_path / "b.npy"), "x").shape == (4,)
    assert read_one(str(tmp_path / "a.npz"), "t").shape == (2,)
    with pytest.raises(DataError, match="none of them is called 'y'"):
        read_one(str(tmp_path / "a.npz"), "y")


def test_damaged_files_are_data_errors(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(300))
    np.save(tmp_path / "a.npy", np.arange(300))
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        for length in (*range(0, 140, 7), len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(DataError):
                read_named(str(tmp_path / name))


def cast(array: np.ndarray, dtype: DType) -> tuple[np.ndarray, list[str]]:
    told: list[str] = []
    return fit(array, TensorType(dtype, (3,)), "x", told.append), told


def test_casts_are_told_and_lose_nothing() -> None:
    made, told = cast(np.array([0.1, np.nan, np.inf]), float32)
    assert made.dtype == np.float32
    assert told == ["x: cast from float64 to float32"]
    assert cast(np.array([1, 2, 3], np.float32), float32)[1] == []
    assert cast(np.array([1, 2, 3], ">f4"), float32)[0].tolist() == [1, 2, 3]
    assert cast(np.array([1, 2, 1 << 24]), float32)[0].tolist() == [1, 2, 1 << 24]
    assert cast(np.array([1, 2, 3], np.uint64), int64)[0].dtype == np.int64
    assert cast(np.array([1, 2, 3], np.float32), float64)[0].dtype == np.float64
    assert cast(np.array([0, 1, 1]), boolean)[0].tolist() == [False, True, True]
    assert cast(np.array([0, 1, 1], ml_dtypes.bfloat16).view("V2"), bfloat16)[1] == []


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, (1 << 24) + 1], "f32"), ([0, 1, 1 << 31], "i32"), ([0, -1, 1], "u8"),
        ([0.0, 1.0, 2.0], "i64"), ([0, 1, 2], "bool"), ([1e300, 0, 0], "f32"),
        ([0.1, 0.2, 0.3], "bf16"), (["a", "b", "c"], "f32"), ([1j, 2, 3], "f32"),
        (np.array([0, 1, 1 << 63], np.uint64), "i64"), (np.array([-1, 0, 1]), "u32"),
    ],
)  # fmt: skip
def test_casts_that_would_lose_are_refused(values: object, dtype: str) -> None:
    with pytest.raises(DataError, match="is wanted"):
        cast(np.array(values), dtype_named(dtype))


def test_one_column_fits_a_vector_and_other_ranks_do_not() -> None:
    assert fit(np.zeros((3, 1)), TensorType(float64, (3,)), "x", print).shape == (3,)
    with pytest.raises(DataError, match=r"x has the shape \[3,2\], and f64\[3\] is wanted"):
        fit(np.zeros((3, 2)), TensorType(float64, (3,)), "x", print)


def test_scalars_from_the_command_line() -> None:
    assert as_scalar("3e-4", TensorType(float32, ()), "lr") == np.float32(3e-4)
    assert as_scalar("-7", TensorType(int64, ()), "n").dtype == np.int64
    assert as_scalar("True", TensorType(boolean, ()), "b")
    for words, type in (("1.5", int64), ("x", float32), ("2", boolean), (str(1 << 64), int64)):
        with pytest.raises(DataError, match="a number that fits"):
            as_scalar(words, TensorType(type, ()), "s")
    with pytest.raises(DataError, match="only single numbers"):
        as_scalar("1", TensorType(float32, (2,)), "s")


def test_any_name_can_be_written_and_read_back(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "allow_pickle": np.float32(2), "a/b": np.zeros((0, 2))}
    with open(tmp_path / "a.npz", "wb") as file:
        write_npz(file, {name: np.asarray(array) for name, array in arrays.items()})
    made = read_named(str(tmp_path / "a.npz"))
    assert list(made) == list(arrays)
    assert all(np.array_equal(made[n], a) for n, a in arrays.items())
