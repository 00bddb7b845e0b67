"""Training steps and maths have the same bits in every process: 1 or 3 threads, cold or warm cache,
other vector widths, another compiler, eager or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intaglio.runtime.toolchain import cpu_features

WORKER = Path(__file__).with_name("worker.py")


QUICK, ALL = ("mlp",), ("mlp", "lm", "maths")


def call(
    kind: str, folder: Path, parts: tuple[str, ...] = (), **environment: str
) -> dict[str, str]:
    """Run the worker in a process of its own; its digests."""
    done = subprocess.run(
        [sys.executable, WORKER, kind, folder, *parts], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "NumPy" not in done.stderr, "it ran in the interpreter"
    found: dict[str, str] = json.loads(done.stdout) if done.stdout else {}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("same-bits")
    call("make", made)
    return made


def check_cache_and_threads(folder: Path, cache: Path, parts: tuple[str, ...]) -> dict[str, str]:
    """A process with an empty cache, then warm ones with other numbers of threads."""
    want = call("run", folder, parts, INTAGLIO_CACHE=str(cache), INTAGLIO_THREADS="2")
    libraries = sorted(cache.rglob("*.so"))
    assert len(libraries) > 3
    for threads in ("1", "3"):
        made = call("run", folder, parts, INTAGLIO_CACHE=str(cache), INTAGLIO_THREADS=threads)
        assert made == want
    assert sorted(cache.rglob("*.so")) == libraries, "a warm start compiles nothing"
    return want


def test_warm_cache_and_number_of_threads(folder: Path, tmp_path: Path) -> None:
    assert len(set(check_cache_and_threads(folder, tmp_path, QUICK).values())) > 10


@pytest.fixture(scope="module")
def want(folder: Path) -> dict[str, str]:
    """What all parts give."""
    made = check_cache_and_threads(folder, folder / "cache", ALL)
    assert len(made) > 100 and len(set(made.values())) > 80
    return made


def test_the_files_do_not_depend_on_the_process(folder: Path, tmp_path: Path) -> None:
    call("make", tmp_path, PYTHONHASHSEED="7")
    for name in ("mlp.ig", "lm.ig", "maths.ig"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    "flags", ["-mno-avx512f", "-mno-avx512f -mtune=generic -O1", "-O3 -funroll-loops"]
)
def test_other_vectors(folder: Path, want: dict[str, str], tmp_path: Path, flags: str) -> None:
    if "avx512" in flags and "avx512f" not in cpu_features():
        pytest.skip("this machine has no AVX-512 to do without")
    assert call("run", folder, ALL, INTAGLIO_CACHE=str(tmp_path), INTAGLIO_CFLAGS=flags) == want


@pytest.mark.long
@pytest.mark.parametrize("compiler", ["gcc", "clang", "ziglang"])
def test_other_compilers(folder: Path, want: dict[str, str], tmp_path: Path, compiler: str) -> None:
    command = compiler
    if compiler == "ziglang":
        command = f"{sys.executable} -m ziglang cc"
        pytest.importorskip("ziglang")
    elif shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} on this machine")
    assert call("run", folder, ALL, INTAGLIO_CACHE=str(tmp_path), CC=command) == want


@pytest.mark.long
def test_a_hundred_repeats(folder: Path) -> None:
    import numpy as np

    import intaglio as ig

    model = ig.load(folder / "maths.ig")
    x = np.random.default_rng(0).standard_normal((500, 333)).astype(np.float32)
    want = [y.tobytes() for y in model(x)]
    for _ in range(100):
        assert [y.tobytes() for y in model(x)] == want
