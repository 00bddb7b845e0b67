"""From CUDA text to a module: through NVRTC, the compiler as a library, or through nvcc.

NVRTC comes with `pip install nvidia-cuda-nvrtc`, with a CUDA toolkit, or from the system's library
path; where there is none, nvcc is looked for. Neither needs a device. Products and sums are never
contracted by the compiler: kernels say themselves where they fuse."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from intaglio.compiler.errors import CompileError
from intaglio.runtime.build import printable
from intaglio.runtime.device.cubins import PRELUDE
from intaglio.runtime.process import run
from intaglio.runtime.toolchain import compile_seconds, digest_of

FLAGS: Final = ("-fmad=false", "-std=c++17")
BUILTINS: Final = "libnvrtc-builtins.so.*"
REMEDY: Final = "pip install nvidia-cuda-nvrtc, or install a CUDA toolkit and set CUDA_HOME"


class Compiler(Protocol):
    """A compiler of CUDA text."""

    fingerprint: str

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        """The module for devices of this capability; raises `CompileError`."""
        ...


@lru_cache(maxsize=1)
def find_compiler() -> Compiler:
    """NVRTC if it is found, else nvcc. Raises `CompileError` where there is neither."""
    for path in _libraries():
        try:
            return Nvrtc(path)
        except (OSError, AttributeError):
            continue
    nvcc = _nvcc()
    if nvcc is None:
        raise CompileError(f"there is no compiler for CUDA: {REMEDY}")
    return Nvcc(nvcc)


def _homes() -> list[Path]:
    """The folders of CUDA toolkits."""
    named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    return [Path(n) for n in [*named, "/usr/local/cuda"] if n]


def _libraries() -> Iterator[str]:
    """Where NVRTC may lie: in installed packages, in toolkits, on the library path."""
    for folder in sys.path:
        packages = Path(folder or ".") / "nvidia"
        if packages.is_dir():
            yield from _newest(packages.glob("*/lib/libnvrtc.so.*"))
    for home in _homes():
        yield from _newest([*home.glob("lib64/libnvrtc.so.*"), *home.glob("lib/libnvrtc.so.*")])
    found = ctypes.util.find_library("nvrtc")
    if found:
        yield found


def _newest(paths: Any) -> list[str]:
    return sorted((str(p) for p in paths if "builtins" not in p.name and "alt" not in p.name),
                  reverse=True)  # fmt: skip


def _nvcc() -> str | None:
    for home in _homes():
        path = home / "bin" / "nvcc"
        if path.is_file():
            return str(path)
    return shutil.which("nvcc")


class Nvrtc:
    """NVRTC, called through ctypes."""

    def __init__(self, path: str) -> None:
        # It looks for its second library by name; the one that lies beside it is opened before.
        self._beside = [ctypes.CDLL(str(p)) for p in Path(path).parent.glob(BUILTINS)]
        self._library = ctypes.CDLL(path)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.fingerprint = f"nvrtc {major.value}.{minor.value} {' '.join(FLAGS)}"
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", known)
        self._newest = max(known)
        """The newest architecture that it knows, as 90 for 9.0."""

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            text = self._library.nvrtcGetErrorString
            text.restype = ctypes.c_char_p
            raise CompileError(f"{name}: {text(status).decode('ascii', 'replace')}; {REMEDY}")

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        """Machine code for the device, or for devices newer than this NVRTC its intermediate
        language, which the driver translates."""
        wanted = 10 * capability[0] + capability[1]
        kind, result = ("sm", "CUBIN") if wanted <= self._newest else ("compute", "PTX")
        options = [*FLAGS, f"--gpu-architecture={kind}_{min(wanted, self._newest)}", f"-I{PRELUDE}"]
        program = ctypes.c_void_p()
        text = source.encode("ascii")
        self._call("nvrtcCreateProgram", ctypes.byref(program), text, b"intaglio.cu", 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
            if self._library.nvrtcCompileProgram(program, len(options), given):
                log = self._read(program, "ProgramLog").rstrip(b"\0").decode("utf-8", "replace")
                raise CompileError(f"NVRTC failed with {' '.join(options)}:\n{printable(log)}")
            return self._read(program, result)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        made = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, made)
        return made.raw


class Nvcc:
    """nvcc, called as a process."""

    def __init__(self, path: str) -> None:
        self._path = path
        with tempfile.TemporaryDirectory(prefix="intaglio-nvcc-") as folder:
            (said,) = run([(path, "--version")], folder, dict(os.environ), 60.0, 1)
        if not said.succeeded:
            raise CompileError(f"{path} {said.describe()}; {REMEDY}")
        self.fingerprint = digest_of("nvcc", path, said.output, *FLAGS)

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        """Machine code for the device."""
        with tempfile.TemporaryDirectory(prefix="intaglio-nvcc-") as folder:
            (Path(folder) / "unit.cu").write_text(source, encoding="ascii")
            command = (
                *(self._path, *FLAGS, f"-arch=sm_{capability[0]}{capability[1]}", f"-I{PRELUDE}"),
                *("-cubin", "unit.cu", "-o", "unit.cubin"),
            )
            environment = {**os.environ, "TMPDIR": folder, "LC_ALL": "C"}
            (ended,) = run([command], folder, environment, compile_seconds(), 1)
            if not ended.succeeded:
                raise CompileError(
                    f"nvcc {ended.describe()}: {' '.join(command)}\n{printable(ended.output)}"
                )
            return (Path(folder) / "unit.cubin").read_bytes()
