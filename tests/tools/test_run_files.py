"""run: tables and pipes in and out, batches under a bar."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime.csvdata import write_csv
from intaglio.runtime.datasets import read_named
from intaglio.runtime.model import load
from tests.tools import programs
from tests.tools.commands import command, here


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return programs.save(tmp_path / "model.ig")


def table(path: Path, **arrays: np.ndarray) -> Path:
    with open(path, "w", newline="") as file:
        write_csv(file, arrays)
    return path


def expected(model: Path) -> np.ndarray:
    return load(model)(programs.data()["x"])


@pytest.mark.parametrize("names", ["x.0 x.1 x.2 x.3 x.4", "a b c d e", ""])
def test_a_table_in_and_out(model: Path, tmp_path: Path, names: str) -> None:
    path = table(tmp_path / "x.csv", x=programs.data()["x"])
    lines = path.read_text().splitlines()
    lines[:1] = [",".join(names.split())] if names else []
    path.write_text("\n".join(lines))
    done = here("run", model, "--input", f"x={path}", "--output", tmp_path / "y.csv")
    assert (done.code, done.out) == (0, "")
    assert done.err == "intaglio: x: cast from float64 to float32\n"
    made = read_named(str(tmp_path / "y.csv"))["result"]
    assert np.array_equal(made.astype(np.float32), expected(model))


def test_several_results_as_one_table(model: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", **programs.data())
    done = here("run", model, "--function", "eval", "--data", path, "--output", tmp_path / "y.csv")
    assert done.code == 0
    loss = load(model).eval(**programs.data())["loss"]
    assert (tmp_path / "y.csv").read_text() == f"loss\n{loss!s}\n"


def piped(model: Path, data: bytes, *words: str) -> tuple[int, bytes, str]:
    done = subprocess.run(
        command("run", model, "--input", "x=-", "--output", "-", *words),
        input=data, capture_output=True, timeout=60, check=False, cwd=model.parent,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def test_pipes_in_every_format(model: Path) -> None:
    x = programs.data()["x"]
    for given, style in (("npy", "npz"), ("npz", "csv"), ("csv", "npy")):
        data = io.BytesIO()
        if given == "npy":
            np.save(data, x)
        elif given == "npz":
            np.savez(data, x=x)
        else:
            text = io.StringIO()
            write_csv(text, {"x": x})
            data.write(text.getvalue().encode())
        code, out, err = piped(model, data.getvalue(), "--format", style)
        assert code == 0, err
        if style == "csv":
            lines = out.decode().splitlines()
            assert lines[0] == "result.0,result.1,result.2"
            made = np.array([[np.float32(v) for v in line.split(",")] for line in lines[1:]])
        else:
            loaded = np.load(io.BytesIO(out))
            made = loaded if style == "npy" else loaded["result"]
        assert np.array_equal(made, expected(model)), (given, style)
    code, out, err = piped(model, b"x\n\x1b[31mred\n")
    assert (code, out) == (1, b"")
    assert err == "intaglio: standard input:2: column 'x': '\\x1b[31mred' is not a number\n"


def test_a_bar_is_shown_where_wanted(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", programs.data()["x"])
    words = ("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--batch", 10, "--output",
             tmp_path / "y.npy")  # fmt: skip
    assert here(*words).err == ""
    assert here(*words, "--no-progress").err == ""
    assert "/100 [" in here(*words, "--progress").err
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected(model))


def test_what_does_not_go_together(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 5), np.float32))
    x = f"x={tmp_path / 'x.npy'}"
    for words, code, told in (
        (["--input", "x=-", "--data", "-"], 2, "only once"),
        (["--input", x, "--format", "csv"], 2, "goes with --output -"),
        (["--input", x, "--output", "y.npy", "--format", "csv"], 2, "disagree"),
        (["--input", x], 1, "x has the shape [2,3,5]"),
    ):
        done = here("run", model, *words)
        assert (done.code, done.out) == (code, ""), words
        assert told in done.err


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of bytes: `shift` moves every letter on by a whole number."""
    import intaglio as ig

    def shift(text: ig.Tensor, by: ig.Tensor, scale: ig.Tensor) -> ig.Tensor:
        return (text.long() + by * scale.long()).to(ig.uint8)

    path = tmp_path_factory.mktemp("texts") / "shift.ig"
    text = ig.spec((ig.Dim("n", min=1, max=100),), ig.uint8)
    numbers = ig.spec((), ig.int64), ig.spec((), ig.float32)
    ig.trace(shift, text, *numbers, name="shift").save(path)
    return path


def test_a_text_in_and_out_and_numbers_written_out(writer: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"HAL 9000")
    words = ("--input", f"text={tmp_path / 'in.txt'}", "--input", "by=1", "--input", "scale=1e0")
    done = here("run", writer, *words, "--output", tmp_path / "out.txt")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "out.txt").read_bytes() == b"IBM!:111"
    assert here("run", writer, *words, "--output", tmp_path / "out.npy").code == 0
    assert np.load(tmp_path / "out.npy").dtype == np.uint8


def test_numbers_and_texts_that_do_not_fit_are_refused(
    writer: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_bytes(b"HAL")
    words = ("--input", f"text={tmp_path / 'in.txt'}", "--input", "scale=1")
    done = here("run", writer, *words, "--input", "by=1.5")
    assert (done.code, "by=1.5: a number that fits i64[]" in done.err) == (1, True)
    done = here("run", writer, *words, "--input", "by=nothing.npy")
    assert (done.code, "nothing.npy" in done.err) == (1, True)
    np.save(tmp_path / "x.npy", programs.data()["x"])
    done = here("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output", tmp_path / "y.txt")
    assert (done.code, "float32" in done.err, (tmp_path / "y.txt").exists()) == (1, True, False)
