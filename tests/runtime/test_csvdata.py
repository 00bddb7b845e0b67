"""Tables of numbers as text: with names and without, errors with their line, and back again."""

import io
from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime.csvdata import read_csv, write_csv
from intaglio.runtime.datasets import DataError, read_named, read_one


def text(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


def test_columns_become_arrays(tmp_path: Path) -> None:
    made = read_named(text(tmp_path / "a.csv", "x.0,t,x.1\n1,7,2.5\n\n3,-8,nan\n"))
    assert sorted(made) == ["t", "x"]
    assert made["t"].dtype == np.int64
    assert made["t"].tolist() == [7, -8]
    assert np.array_equal(made["x"], [[1, 2.5], [3, np.nan]], equal_nan=True)


def test_without_names_the_lines_are_one_array(tmp_path: Path) -> None:
    made = read_named(text(tmp_path / "a.csv", "1,2\n3,4\n5,6\n"))
    assert list(made) == ["a"]
    assert made["a"].dtype == np.int64
    assert made["a"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert read_one(text(tmp_path / "b.csv", "1.5\n-inf\n"), "x").tolist() == [[1.5], [-np.inf]]
    assert read_one(text(tmp_path / "c.csv", "7\n"), "x").shape == (1, 1)


def test_all_columns_are_the_argument_that_none_is_named_after(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "length,width\n1,2.5\n3,4\n")
    assert read_one(path, "x").tolist() == [[1, 2.5], [3, 4]]
    assert read_one(path, "width").tolist() == [2.5, 4]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"), ("\n\n", "is empty"), ("x\n", "no line of numbers"),
        ("x,t\n1\n", ":2: 1 fields where line 1 has 2"),
        ("x\none\n", ":2: column 'x': 'one' is not a number"),
        ("x,t\n1,2\n\n3,\n", ":4: column 't': the field is empty"),
        ("1,2\n3,a\n", ":2: column 2: 'a' is not a number"),
        ("x,x\n1,2\n", ":1: the column names must be there and differ"),
        ("x,\n1,2\n", "must be there"), ("x\n1_000\n", "'1_000' is not"),
        ("x.0,x.2\n1,2\n", "x.0, x.1"), ("x,x.0\n1,2\n", "x.0, x.1"),
        ("x\n\xff\xfe\n", "not a number"), ("x\n\x00\n", "a.csv"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(DataError, match=told.replace(".", r"\.")):
        read_named(text(tmp_path / "a.csv", content))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"a\.csv can't be read"):
        read_named(str(tmp_path / "a.csv"))


def test_big_integers_survive(tmp_path: Path) -> None:
    made = read_named(text(tmp_path / "a.csv", f"t\n{2**62 + 1}\n"))
    assert made["t"].tolist() == [2**62 + 1]
    made = read_named(text(tmp_path / "a.csv", f"t\n{2**70}\n"))
    assert made["t"].dtype == np.float64


def written(**arrays: np.ndarray) -> str:
    file = io.StringIO()
    write_csv(file, arrays)
    return file.getvalue()


def test_what_is_written_is_read_back() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "x": random.standard_normal((50, 3)).astype(np.float32) * np.float32(1e-9),
        "t": random.integers(-(1 << 62), 1 << 62, 50),
        "y": random.standard_normal(50) * 1e300,
        "b": random.integers(0, 2, 50).astype(bool),
        "whole": np.arange(50.0),
    }
    made = read_csv(io.StringIO(written(**arrays)), "-", "-")
    assert list(made) == ["t", "y", "b", "whole", "x"]
    for name, array in arrays.items():
        assert np.array_equal(made[name].astype(array.dtype), array), name
    assert made["whole"].dtype == np.float64
    assert made["b"].dtype == np.int64


def test_single_numbers_are_one_row() -> None:
    assert written(loss=np.float32(0.1), n=np.array(3)) == "loss,n\n0.1,3\n"


def test_what_makes_no_table_is_refused() -> None:
    with pytest.raises(DataError, match=r"x \[2,3,4\] is no table"):
        written(x=np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match=r"differ in their rows \(x 2, t 3\)"):
        written(x=np.zeros(2), t=np.zeros(3))
