"""The C compiler of this machine: which one, with which flags, and what identifies it in cache
keys.

`CC` of the caller's environment comes first, then `cc`, `gcc`, `clang` on the path, then the
compiler that the package `ziglang` brings. `INTAGLIO_CFLAGS` adds flags. Both come from the
caller's environment only: nothing from a file or a model ever reaches a command line."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from intaglio.compiler.errors import CompileError
from intaglio.runtime.process import run
from intaglio.runtime.settings import LOG, positive

FLAGS: Final = (
    *("-O2", "-std=gnu99", "-march=native", "-fPIC", "-w"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
CLANG_FLAGS: Final = ("-mprefer-vector-width=512",)
UNSAFE: Final = (
    *("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-ffinite-math-only"),
    *("-fassociative-math", "-freciprocal-math", "-ffp-contract=fast", "-ffp-contract=on"),
)
"""Flags that change results or switch the whole process to flush-to-zero; refused."""

HEADERS: Final = (
    Path(__file__).parent.parent / "compiler" / "codegen" / "prelude",
    Path(__file__).parent / "native",
)
REMEDY: Final = "install gcc or clang, set CC, or pip install 'intaglio[cc]'"


DEFAULT_SECONDS: Final = 300


def compile_seconds() -> float:
    """The time that one build may take: `INTAGLIO_CC_SECONDS`, else five minutes."""
    return float(positive("INTAGLIO_CC_SECONDS", DEFAULT_SECONDS))


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler that was found: how to call it, and what identifies it (its files and flags, the
    CPU, our own headers)."""

    command: tuple[str, ...]
    flags: tuple[str, ...]
    fingerprint: str
    precompiles: bool = False
    """Whether headers are worth precompiling: with gcc itself, called without a wrapper."""

    def compile_command(self, source: str, result: str) -> tuple[str, ...]:
        """The arguments that compile one translation unit."""
        return (*self.command, *self.flags, "-c", source, "-o", result)

    def precompile_command(self, header: str, result: str) -> tuple[str, ...]:
        """The arguments that precompile a header, for units compiled with the same flags."""
        return (*self.command, *self.flags, "-x", "c-header", header, "-o", result)

    def link_command(self, objects: tuple[str, ...], result: str) -> tuple[str, ...]:
        """The arguments that link objects into a shared library."""
        return (*self.command, "-shared", "-o", result, *objects, "-lpthread")

    def environment(self, folder: str) -> dict[str, str]:
        """The environment of a compiler's process: temporary files stay in `folder`, messages are
        in English."""
        made = {**os.environ, "TMPDIR": folder, "LC_ALL": "C", "ZIG_LOCAL_CACHE_DIR": folder}
        if "HOME" not in made:
            made["ZIG_GLOBAL_CACHE_DIR"] = folder
        return made


def find_toolchain() -> Toolchain:
    """The compiler to use under the present environment; raises `CompileError` when there is
    none."""
    return _toolchain(os.environ.get("CC", ""), os.environ.get("INTAGLIO_CFLAGS", ""))


@lru_cache(maxsize=16)
def _toolchain(cc: str, cflags: str) -> Toolchain:
    command = _command(cc)
    extra = tuple(shlex.split(cflags))
    for flag in extra:
        if flag in UNSAFE:
            raise CompileError(f"INTAGLIO_CFLAGS: {flag} changes results; take it out")
    identity = _identity(command)
    clang = CLANG_FLAGS if _is_clang(command, identity) and _is_x86() else ()
    includes = tuple(f"-I{folder}" for folder in HEADERS)
    flags = (*FLAGS, *clang, *extra, "-ffp-contract=off", *includes)
    parts = (identity, *FLAGS, *clang, *extra, cpu_features(), _headersdigest_of())
    precompiles = len(command) == 1 and "gcc" in _program_name(command)
    return Toolchain(command, flags, digest_of(*parts), precompiles)


def _command(cc: str) -> tuple[str, ...]:
    if cc.strip():
        words = tuple(shlex.split(cc))
        if shutil.which(words[0]) is None:
            raise CompileError(f"CC={cc!r}: there is no program {words[0]!r}; {REMEDY}")
        return words
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise CompileError(f"no C compiler was found; {REMEDY}")


def _identity(command: tuple[str, ...]) -> str:
    """Path, size and time of the compiler's program, links followed; for ziglang its version."""
    program = os.path.realpath(shutil.which(command[0]) or command[0])
    found = os.stat(program)
    parts = [*command[1:], program, str(found.st_mtime_ns), str(found.st_size)]
    if "ziglang" in command:
        from importlib.metadata import version

        parts.append(version("ziglang"))
    return "\n".join(parts)


def _program_name(command: tuple[str, ...]) -> str:
    """The name of the compiler's program, links followed."""
    return os.path.basename(os.path.realpath(shutil.which(command[0]) or command[0]))


_CLANG: Final[dict[str, bool]] = {}


def _is_clang(command: tuple[str, ...], identity: str) -> bool:
    """Whether the compiler calls itself clang; asked once, and not at all where its name tells."""
    name = _program_name(command)
    if "ziglang" in command or "clang" in name:
        return True
    if "gcc" in name:
        return False
    if identity not in _CLANG:
        _CLANG[identity] = "clang" in _version(command)
    return _CLANG[identity]


def _version(command: tuple[str, ...]) -> str:
    try:
        (outcome,) = run([(*command, "--version")], "/", os.environ, compile_seconds())
    except OSError as error:
        raise CompileError(f"{shlex.join(command)} can't be started: {error}; {REMEDY}") from None
    if not outcome.succeeded:
        LOG.debug("%s --version %s", shlex.join(command), outcome.describe())
    return outcome.output


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i686")


@lru_cache(maxsize=1)
def cpu_features() -> str:
    """What decides which code this CPU runs: its architecture, model and feature flags."""
    wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    found = {}
    try:
        with open("/proc/cpuinfo", "rb") as file:
            head = file.read(8192).decode("ascii", "replace")
        for line in head.split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            if name.strip() in wanted:
                found[name.strip()] = value.strip()
    except OSError:
        found["model name"] = platform.processor()
    return "\n".join([platform.machine(), *(f"{k}={found[k]}" for k in sorted(found))])


@lru_cache(maxsize=1)
def _headersdigest_of() -> str:
    files = sorted(f for folder in HEADERS for f in folder.glob("*.h"))
    return digest_of(*(f.name for f in files), *(f.read_text() for f in files))


def digest_of(*parts: str) -> str:
    """A digest of texts in order, each with its length, so that no two lists give the same."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        made.update(len(data).to_bytes(8, "little"))
        made.update(data)
    return made.hexdigest()
