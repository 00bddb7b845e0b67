"""Archives whose large arrays are mapped: the same numbers as read ones, and damage found."""

import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime.datasets import DataError, read_named
from intaglio.runtime.npzfile import MAPPED_FROM
from intaglio.runtime.training import digest


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "a": draw.standard_normal((300, 1000)),
        "columns": np.asfortranarray(draw.standard_normal((700, 500)).astype(np.float32)),
        "whole": draw.integers(0, 9, 1 << 18),
        "small": np.arange(5),
        "number": np.array(3.0),
    }


def mapped(array: np.ndarray) -> bool:
    return not array.flags.writeable


def test_stored_arrays_are_mapped_and_compressed_ones_read(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "plain.npz", **given)
    np.savez_compressed(tmp_path / "small.npz", **given)
    for name in ("plain.npz", "small.npz"):
        found = read_named(str(tmp_path / name))
        assert list(found) == list(given)
        for key, array in given.items():
            assert found[key].dtype == array.dtype
            np.testing.assert_array_equal(found[key], array)
            assert mapped(found[key]) == (name == "plain.npz" and array.nbytes >= MAPPED_FROM)
        assert digest(list(given), list(given.values())) == digest(
            list(given), [found[key] for key in given]
        )


def test_large_data_take_no_memory(tmp_path: Path) -> None:
    rows = 1 << 16
    with (
        zipfile.ZipFile(tmp_path / "big.npz", "w") as archive,
        archive.open("x.npy", "w", force_zip64=True) as part,
    ):
        part.write(_header((rows, 1024)))
        for _ in range(rows >> 10):
            part.write(bytes(1 << 20))
    tracemalloc.start()
    found = read_named(str(tmp_path / "big.npz"))["x"]
    assert digest(["x"], [found])
    assert found[[5, rows - 1]].sum() == 0
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (rows, 1024) and mapped(found)
    assert taken < found.nbytes // 8


def _header(shape: tuple[int, int]) -> bytes:
    import io

    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        made, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return made.getvalue()


def test_damage_is_found(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "a.npz", **given)
    data = (tmp_path / "a.npz").read_bytes()
    draw, refused = random.Random(0), 0
    for k in range(60):
        changed = bytearray(data)
        where = draw.randrange(len(data)) if k % 2 else draw.choice((0, len(data) - 600))
        changed[where + draw.randrange(0, 1 if k % 2 else 600)] ^= 1 << draw.randrange(8)
        (tmp_path / "b.npz").write_bytes(changed)
        try:
            found = read_named(str(tmp_path / "b.npz"))
        except DataError as error:
            refused += 1
            assert "b.npz" in str(error)
            continue
        for key in found.keys() & given.keys():
            np.testing.assert_array_equal(found[key], given[key])
    assert refused >= 30
    for length in (0, 10, 5000, len(data) - 10):
        (tmp_path / "b.npz").write_bytes(data[:length])
        with pytest.raises(DataError):
            read_named(str(tmp_path / "b.npz"))


def header(shape: object, text: str = "") -> bytes:
    """A `.npy` file without elements, of this shape or with this text as its header."""
    told = text or repr({"descr": "<f4", "fortran_order": False, "shape": shape})
    line = told.encode() + b" " * (-(len(told) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


@pytest.mark.parametrize(
    "data",
    [header((1 << 70,)), header((1 << 60,)), header(0, "(" * 900), header(0, '{"descr": """ ')],
    ids=["more than a long", "more than memory", "parentheses", "no end"],
)
def test_headers_that_make_no_sense_are_refused(data: bytes, tmp_path: Path) -> None:
    """Whatever NumPy raises for them."""
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", data)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="can't be read"):
            read_named(str(tmp_path / name))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compressed_members_are_refused(method: int, tmp_path: Path) -> None:
    """Each decompressor has an error of its own."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", header((4096,)) + bytes(4 * 4096))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[50:70] = b"\xff" * 20
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match="can't be read"):
        read_named(str(tmp_path / "a.npz"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("x.npy", header((0,)))
    with pytest.raises(DataError, match="'x' is there twice"):
        read_named(str(tmp_path / "a.npz"))


def test_what_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(DataError, match=r"'notes\.txt' is no array"):
        read_named(str(tmp_path / "a.npz"))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", _header((1 << 11, 1 << 11)) + bytes(1 << 21))
    with pytest.raises(DataError, match="not the size that its shape tells"):
        read_named(str(tmp_path / "b.npz"))
    np.savez(tmp_path / "c.npz", x=np.array([object()]))
    with pytest.raises(DataError, match="Python objects"):
        read_named(str(tmp_path / "c.npz"))


def test_batches_of_mapped_rows(tmp_path: Path) -> None:
    given = {"x": np.random.default_rng(1).standard_normal((4096, 64)).astype(np.float32)}
    np.savez(tmp_path / "a.npz", **given)
    found = read_named(str(tmp_path / "a.npz"))["x"]
    assert mapped(found)
    rows = np.array([4000, 3, 77])
    np.testing.assert_array_equal(found[rows], given["x"][rows])
    assert found[rows].flags.aligned
