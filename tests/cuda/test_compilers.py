"""From CUDA text to modules by NVRTC and nvcc, where they are; what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from intaglio.compiler.errors import CompileError
from intaglio.compiler.lower import lower
from intaglio.runtime.device import nvrtc
from intaglio.runtime.device.copying import SOURCE
from tests.cuda.programs import f32, of


@pytest.fixture(params=["Nvrtc", "Nvcc"])
def compiler(request: pytest.FixtureRequest) -> nvrtc.Compiler:
    """A compiler of this machine."""
    places = list(nvrtc._libraries()) if request.param == "Nvrtc" else [nvrtc._nvcc()]
    for place in places:
        try:
            if place is not None:
                return nvrtc.Nvrtc(place) if request.param == "Nvrtc" else nvrtc.Nvcc(place)
        except OSError:
            continue
    pytest.skip(f"no {request.param} on this machine")


def test_text_becomes_machine_code(compiler: nvrtc.Compiler) -> None:
    (text,) = lower(of([f32(4, 4)], lambda b, x: b.exp(x)), target="cuda").sources
    assert compiler.compile(text, (9, 0))[:4] == b"\x7fELF"
    assert b"copy8" in compiler.compile(SOURCE, (8, 0))
    with pytest.raises(CompileError, match=r"(?s)sm_90.*error"):
        compiler.compile("no such thing", (9, 0))


def test_a_device_newer_than_nvrtc_gets_its_intermediate_language(
    compiler: nvrtc.Compiler,
) -> None:
    if not isinstance(compiler, nvrtc.Nvrtc):
        pytest.skip("nvcc refuses")
    made = compiler.compile(SOURCE, (99, 0))
    assert b".target" in made and made.endswith(b"\0"), "the driver reads it as a C string"


def test_without_a_compiler_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_libraries", list)
    monkeypatch.setattr(nvrtc, "_nvcc", lambda: None)
    nvrtc.find_compiler.cache_clear()
    with pytest.raises(CompileError, match="pip install nvidia-cuda-nvrtc"):
        nvrtc.find_compiler()


def test_a_library_that_can_not_be_opened_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libnvrtc.so.13").write_bytes(b"no library")
    monkeypatch.setattr(nvrtc, "_libraries", lambda: [str(tmp_path / "libnvrtc.so.13")])
    monkeypatch.setattr(nvrtc, "_nvcc", lambda: None)
    nvrtc.find_compiler.cache_clear()
    with pytest.raises(CompileError, match="no compiler for CUDA"):
        nvrtc.find_compiler()
