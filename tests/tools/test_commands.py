"""info, run and bench, exit codes, and what a terminal is shown."""

import json
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Function, Program, State
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime.file import write
from intaglio.runtime.model import load
from intaglio.tools.info import about_state
from tests.tools import programs
from tests.tools.commands import alone, command, here

HOSTILE = 'x\x1b[31m\n\r\u202e\x00"<b>&'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return programs.save(tmp_path / "model.ig")


def test_info_tells_what_is_there(model: Path) -> None:
    done = here("info", model)
    assert (done.code, done.err) == (0, "")
    for text in (
        "format 0", "forward(x: f32[n,5]) -> f32[n,3]", "size n from 1 to 4096", "training mode",
        "train_step(x: f32[n,5], t: f32[n,3]) -> loss: f32[]", "optim.lr", "hyperparameter",
        "parameter 72 bytes", "made up", "updates 3 states",
    ):  # fmt: skip
        assert text in done.out
    data = json.loads(here("info", "--json", model).out)
    assert [f["name"] for f in data["functions"]] == ["forward", "eval", "train_step"]
    assert data["weights"] in done.out
    assert data["functions"][2]["updates"] == ["w", "b", "optim.steps"]


def test_info_lists_the_first_states_and_all_where_asked(residual: Path) -> None:
    short, full = here("info", residual).out, here("info", residual, "--all").out
    assert full.count("parameter") - full.count("updates") >= 12
    assert "more: --all" not in full
    with_limit = about_state(load(residual).program, 5)
    assert with_limit.endswith("more: --all lists them")
    assert with_limit.count("\n") == 6
    known = [line.split() for line in full.splitlines()]
    assert all(line.split() in known for line in with_limit.splitlines()[:6])
    assert short.splitlines()[:4] == full.splitlines()[:4]


def test_run_needs_no_front_end_and_gives_what_load_gives(model: Path, tmp_path: Path) -> None:
    x = programs.data()["x"]
    np.save(tmp_path / "x.npy", x)
    done = alone(
        "run", "model.ig", "--input", "x=x.npy", "--output", "y.npy",
        folder=tmp_path, banned=("networkx",),
    )  # fmt: skip
    assert (done.code, done.out, done.err) == (0, "", "")
    assert np.array_equal(np.load(tmp_path / "y.npy"), load(model)(x))


def test_no_command_needs_the_front_end(model: Path, tmp_path: Path) -> None:
    for words in (
        ("info", "model.ig"), ("dump", "model.ig", "--format", "svg"),
        ("bench", "model.ig", "--seconds", "0.01"),
        ("dump", "model.ig", "--kernels", "--memory", "--source"),
    ):  # fmt: skip
        done = alone(*words, folder=tmp_path)
        assert (done.code, done.err) == (0, ""), words
        assert done.out


def test_batches_give_the_same_rows(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **programs.data())
    for batch, output in ((7, "a.npz"), (100, "b.npz"), (1000, "c.npz")):
        done = here("run", model, "--data", tmp_path / "x.npz", "--batch", batch,
                    "--output", tmp_path / output)  # fmt: skip
        assert (done.code, done.err) == (0, "intaglio: forward does not take 't'\n")
    made = [np.load(tmp_path / f"{n}.npz")["result"] for n in "abc"]
    assert made[0].shape == (100, 3)
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


@pytest.mark.parametrize("name", ["forward", "eval"])
def test_no_rows_are_the_same_with_and_without_batches(
    name: str, model: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "none.npz", **{n: a[:0] for n, a in programs.data().items()})
    words = ("run", model, "--function", name, "--data", tmp_path / "none.npz")
    assert here(*words, "--batch", 7) == here(*words)


def test_numbers_are_averaged_and_other_results_without_rows_refused(
    model: Path, tmp_path: Path
) -> None:
    data = programs.data()
    np.savez(tmp_path / "d.npz", **data)
    done = here("run", model, "--function", "eval", "--data", tmp_path / "d.npz", "--batch", 30)
    assert done.code == 0
    assert "loss: the mean over 4 batches by their rows" in done.err
    parts = [
        load(model).eval(data["x"][k : k + 30], data["t"][k : k + 30]) for k in (0, 30, 60, 90)
    ]
    total = 0.0
    for part, rows in zip(parts, (30, 30, 30, 10), strict=True):
        total += float(part["loss"]) * rows
    assert done.out == f"loss {total / 100}\n"
    whole = here("run", model, "--function", "eval", "--data", tmp_path / "d.npz")
    expected = load(model).eval(**programs.data())["loss"]
    assert whole.out == f"loss {expected[()]!s}\n"
    ir = Program({"f": _column_sums()}, {})
    write(str(tmp_path / "sums.ig"), ir, {}, {})
    done = here("run", tmp_path / "sums.ig", "--data", tmp_path / "d.npz", "--batch", 30)
    assert done.code == 1
    assert "the result 'total': f32[5]" in done.err and "run without --batch" in done.err


def _column_sums() -> Function:
    g = Builder()
    x = g.input(TensorType(float32, (Dim("n", min=1, max=4096), 5)), "x")
    return Function(
        "f", g.graph([g.sum(x, axes=(0,))]), ("x",), ("total",), parameters=("x",),
        input_structure=("tuple", ("*",)),
    )  # fmt: skip


def test_casts_are_told(model: Path, tmp_path: Path) -> None:
    data = programs.data(dtype=np.float64)
    np.savez(tmp_path / "d.npz", **data)
    done = here("run", model, "--function", "train_step", "--data", tmp_path / "d.npz")
    assert done.code == 0
    assert done.err.splitlines() == [
        "intaglio: x: cast from float64 to float32",
        "intaglio: t: cast from float64 to float32",
        "intaglio: train_step updates 3 states; the file stays as it is",
    ]


def test_a_fixed_batch_size_is_kept(tmp_path: Path) -> None:
    model = programs.save(tmp_path / "fixed.ig", rows=20)
    np.save(tmp_path / "x.npy", programs.data(60)["x"])
    done = here("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output", tmp_path / "y.npz")
    assert (done.code, done.err) == (0, "")
    assert np.load(tmp_path / "y.npz")["result"].shape == (60, 3)
    np.save(tmp_path / "x.npy", programs.data(50)["x"])
    done = here("run", model, "--input", f"x={tmp_path / 'x.npy'}")
    assert done.code == 1
    assert "50 rows do not make whole batches" in done.err


def test_bench_times_every_function(model: Path) -> None:
    before = model.read_bytes()
    done = here("bench", model, "--seconds", "0.02", "--size", "n=8", "--threads", 1, "--profile")
    assert done.code == 0
    timed, *profiles = done.out.split("\n\n")
    assert [text.split(":")[0] for text in profiles] == ["forward", "eval", "train_step"]
    assert all("net.py:12 in Net.a" in text for text in profiles)
    lines = timed.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["forward", "eval", "train_step"]
    assert all("n=8" in line for line in lines[1:])
    assert model.read_bytes() == before


def test_the_op_that_makes_a_nan_is_named(model: Path, tmp_path: Path) -> None:
    data = programs.data()
    data["x"][3] = (np.inf, -np.inf, np.inf, -np.inf, np.inf)  # whose products meet
    np.savez(tmp_path / "d.npz", **data)
    plain = ["run", model, "--function", "train_step", "--data", tmp_path / "d.npz"]
    assert here(*plain).code == 0
    train = ["train", model, "--data", tmp_path / "d.npz", "--out", tmp_path / "o.ig"]
    for words in (plain, train):
        done = here(*words, "--check-nan")
        assert (done.code, done.out) == (1, "")
        assert "net.py:12 in Net.a" in done.err
        assert "nan" in done.err.lower()
    assert here(*train).code == 0


def test_usage_errors_exit_with_2(model: Path, tmp_path: Path) -> None:
    for wrong in (
        ["nonsense"], ["run"], ["run", model, "--input", "x"], ["run", model, "--input", "x="],
        ["run", model, "--batch", "0"], ["run", model, "--output", "y.pdf"],
        ["run", model, "--max-memory", "much"], ["run", model, "--device", "gpu9"],
        ["train", model], ["dump", model, "--after", "x"],
        ["dump", model, "--format", "pdf"], ["bench", model, "--size", "n=-1"],
        ["run", model, "--input", "x=a.npy", "--input", "x=b.npy"],
    ):  # fmt: skip
        done = here(*wrong)
        assert (done.code, done.out) == (2, ""), wrong
        assert "Usage:" in done.err, wrong
        assert "Traceback" not in done.err


def test_model_and_data_errors_exit_with_1_on_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.ig").write_bytes(model.read_bytes()[:-1])
    (tmp_path / "bad.npy").write_bytes(b"\x80\x04nothing")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "wide.npy", np.zeros((4, 9), np.float32))
    np.save(tmp_path / "x.npy", programs.data()["x"])
    x = f"x={tmp_path / 'x.npy'}"
    for wrong, told in (
        (["info", tmp_path / "none.ig"], "No such file"),
        (["info", tmp_path], "regular"),
        (["dump", tmp_path / "bad.ig"], "bad.ig"),
        (["run", tmp_path / "bad.npy"], "bad.npy"),
        (["run", model, "--input", f"x={tmp_path / 'none.npy'}"], "none.npy: No such file"),
        (["run", model, "--input", f"x={tmp_path / 'bad.npy'}"], "bad.npy"),
        (["run", model, "--input", f"x={tmp_path / 'objects.npy'}"], "Python objects"),
        (["run", model, "--input", f"x={tmp_path / 'x.dat'}"], ".npz, .npy, .csv"),
        (["run", model, "--input", f"x={tmp_path / 'wide.npy'}"], "f32[n,5]"),
        (["run", model, "--function", "none", "--input", x], "no function 'none'"),
        (["run", model], "forward needs 'x'"),
        (["run", model, "--input", x, "--output", tmp_path / "no" / "y.npy"], "No such file"),
        (["run", model, "--input", x, "--max-memory", "64"], "64"),
    ):
        done = here(*wrong)
        assert (done.code, done.out) == (1, ""), (wrong, done)
        assert told in done.err, wrong
        assert done.err.startswith("intaglio: ")
        assert done.err.count("\n") == 1, done.err


def hostile(path: Path) -> Path:
    """A model in which every name that a file may hold is hostile."""
    made = programs.program(file=HOSTILE, scope=HOSTILE)
    state = {HOSTILE + k: State((HOSTILE + k,), s.type, s.kind) for k, s in made.state.items()}
    functions = {}
    for name, f in made.functions.items():
        functions[HOSTILE + name] = Function(
            HOSTILE + name, f.graph, tuple(HOSTILE + a for a in f.arguments),
            tuple(HOSTILE + r for r in f.results), tuple(HOSTILE + r for r in f.reads),
            tuple(HOSTILE + u for u in f.updates), parameters=f.parameters,
            input_structure=f.input_structure, output_structure=f.output_structure,
            training=((HOSTILE, True),),
        )  # fmt: skip
    values = {HOSTILE + k: v for k, v in programs.values().items()}
    write(str(path), Program(functions, state), values, {HOSTILE: HOSTILE})
    return path


def test_hostile_names_are_escaped_everywhere(tmp_path: Path) -> None:
    path = hostile(tmp_path / "hostile.ig")
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 5), np.float32))
    for words in (
        ["info", path], ["info", path, "--json"], ["dump", path], ["dump", path, "--format", "dot"],
        ["dump", path, "--format", "svg"],
        ["dump", path, "--format", "html"], ["dump", path, "--format", "json"],
        ["bench", path, "--seconds", "0.01"], ["run", path, "--function", "none"],
        ["run", path, "--function", HOSTILE + "forward"],
        ["train", path, "--data", tmp_path / "data.npz", "--out", tmp_path / "o.ig"],
    ):  # fmt: skip
        done = here(*words)
        shown = done.out + done.err
        bad = {c for c in shown if unicodedata.category(c).startswith("C") and c != "\n"}
        assert not bad, (words, bad)
        assert words[-1] not in ("svg", "html") or "<b>" not in shown
        shown = shown.replace("\\\\", "\\")  # DOT and JSON double the backslash
        assert "x\\x1b" in shown or "x\\u001b" in shown, words


def test_a_closed_pipe_is_quiet(model: Path, tmp_path: Path) -> None:
    first = subprocess.Popen(
        command("dump", "model.ig", "--format", "svg"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    assert first.stderr.read() == b""
    assert first.wait() == 1
    first.stderr.close()
