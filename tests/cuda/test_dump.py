"""`intaglio dump --target cuda` of saved models: the text is complete, launches are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import intaglio as ig
from tests.cuda.emulator import COMPILER, KERNEL, emulate_text
from tests.cuda.programs import MLP
from tests.examples.scripts import example
from tests.tools.commands import here


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The char transformer's file, untrained."""
    module = example("char_transformer")
    path = tmp_path_factory.mktemp("files") / "char.ig"
    module.save(module.Model(20), "abcdefghijklmnopqrst", path)
    return path


def test_the_source_of_a_transformer(characters: Path) -> None:
    done = here("dump", characters, "--source", "--target", "cuda")
    assert done.code == 0, done.err
    names = KERNEL.findall(done.out)
    assert len(names) > 10 and names == [f"k{k}" for k in range(len(names))]
    sized = here("dump", characters, "--source", "--target", "cuda", "--size", "n=2")
    assert sized.code == 0 and sized.out != done.out


@pytest.mark.skipif(COMPILER is None, reason="the emulation needs g++")
def test_the_source_of_a_file_is_all_that_a_compiler_needs(tmp_path: Path) -> None:
    path = tmp_path / "mlp.ig"
    ig.trace(MLP().eval(), ig.spec((ig.Dim("n"), 64), ig.float32)).save(path)
    done = here("dump", path, "--source", "--target", "cuda")
    assert done.code == 0, done.err
    library = emulate_text(done.out)
    assert all(library[f"start_{name}"] for name in KERNEL.findall(done.out))


def test_launches_are_shown_for_any_size_and_for_one(tmp_path: Path) -> None:
    path = tmp_path / "mlp.ig"
    ig.trace(MLP().eval(), ig.spec((ig.Dim("n"), 64), ig.float32)).save(path)
    done = here("dump", path, "--kernels", "--target", "cuda")
    assert done.code == 0 and "blocks x" in done.out and "((n+63)//64)" in done.out
    sized = here("dump", path, "--kernels", "--target", "cuda", "--size", "n=1000")
    assert [line.split()[2] for line in sized.out.splitlines() if "16 x 16" in line] == ["16", "16"]
    plain = here("dump", path, "--kernels")
    assert "blocks x" not in plain.out
