"""dump --kernels, --memory and --source: what is shown is what the compiler makes."""

import re
from pathlib import Path

import pytest

from intaglio.compiler.lower import lower
from intaglio.runtime.compile import optimised
from intaglio.runtime.model import load
from tests.tools import programs
from tests.tools.commands import here
from tests.tools.test_commands import hostile


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return programs.save(tmp_path / "model.ig")


def test_kernels_have_a_line_each_with_its_place(model: Path) -> None:
    done = here("dump", model, "--function", "train_step", "--kernels", "--size", "n=32")
    assert done.code == 0, done.err
    head, _, *rows = done.out.splitlines()
    assert head == "// train_step(x: f32[n,5], t: f32[n,3]) -> loss: f32[] for n=32"
    executable = load(model).train_step.executable
    made = lower(optimised(executable.graph, {"n": 32}), in_place=executable.updates)
    assert [row.split()[1] for row in rows] == [step.kernel for step in made.steps]
    assert all("net.py:12 in Net.a" in row for row in rows)


def test_memory_names_every_argument_state_and_result(model: Path) -> None:
    words = ("dump", model, "--function", "train_step", "--memory")
    sized = here(*words, "--size", "n=32").out
    for text in ("f32[32,5]  640 bytes", "optim.lr", "arena", "scratch", "apart from it"):
        assert text in sized
    executable = load(model).train_step.executable
    made = lower(optimised(executable.graph, {"n": 32}), in_place=executable.updates)
    states = ["x", "t", *executable.states]
    replaced = [states[b.may_alias] for b in made.buffers if b.may_alias is not None]
    assert all(f"{name}, in place of {name}" in sized for name in replaced)
    assert sized.count("in place of") == len(replaced)
    general = here(*words).out
    assert "f32[n,5]" in general
    assert "20*n bytes" in general
    assert "arena" not in general


def test_source_knows_no_names_of_the_file(model: Path, tmp_path: Path) -> None:
    plain = here("dump", model, "--function", "eval", "--source").out
    evil = hostile(tmp_path / "hostile.ig")
    name = next(n for n in load(evil).functions if n.endswith("eval"))
    made = here("dump", evil, "--function", name, "--source").out
    assert "#include" in plain
    assert plain.split("\n")[1:] == made.split("\n")[1:]


def test_sizes_are_checked(model: Path) -> None:
    for size in ("n=0", "n=5000"):
        done = here("dump", model, "--function", "eval", "--source", "--size", size)
        assert done.code == 1
        assert "outside 1 to 4096" in done.err


def test_explain_says_what_was_joined_and_what_not(model: Path) -> None:
    done = here("dump", model, "--function", "train_step", "--explain")
    assert done.code == 0
    assert re.search(r"^ +\d+  .*matmul.*net\.py:12 in Net\.a", done.out, re.MULTILINE)
    assert "not fused:" in done.out
