"""From C sources to a loaded library: one compiler process per translation unit, as many at
once as there are CPUs, through the build cache.

The key of a build is the digest of its sources and of the toolchain (compiler, flags, CPU, our
headers). A library is checked against its digest before it is opened, since opening a damaged one
ends the process."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from intaglio.compiler.errors import CompileError
from intaglio.runtime.cache import Cache, open_cache, temporary_cache
from intaglio.runtime.precompiled import link_precompiled, unlink_precompiled
from intaglio.runtime.process import run
from intaglio.runtime.settings import LOG
from intaglio.runtime.toolchain import REMEDY, Toolchain, compile_seconds, digest_of, find_toolchain

MOST_PROCESSES: Final = 8
ENDING: Final = ".so"

compiled: list[int] = [0]
"""How many libraries this process has compiled (not found in the cache): for tests and reports."""


def build(sources: Sequence[str], entries: Sequence[str] = ()) -> Path:
    """The shared library made from these translation units: from the cache, or compiled now.

    `entries` are symbols that it must have. Raises `CompileError` with the command and the end of
    the compiler's message."""
    toolchain = find_toolchain()
    key = digest_of("library", *sources, toolchain.fingerprint)
    cache = open_cache()
    found = cache.find(key, ENDING)
    if found is not None:
        return found
    try:
        return _build_in(cache, key, sources, toolchain, entries)
    except OSError as error:
        if cache.temporary:
            raise CompileError(
                f"the build can't be written to {cache.folder}: {error.strerror or error}"
            ) from None
        spare = temporary_cache(f"{cache.folder} can't be used: {error.strerror or error}")
        found = spare.find(key, ENDING)
        return found or _build_in(spare, key, sources, toolchain, entries)


def open_library(sources: Sequence[str], entries: Sequence[str] = ()) -> ctypes.CDLL:
    """Build and open a library. It stays open for the life of the process."""
    for attempt in range(3):
        path = build(sources, entries)
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:  # deleted in between by another process, or a `noexec` folder
            if path.exists() and attempt:
                raise CompileError(f"{path} can't be opened: {error}") from None
            with suppress(OSError):
                path.unlink()
            continue
        missing = [entry for entry in entries if not hasattr(library, entry)]
        if not missing:
            return library
        with suppress(OSError):
            path.unlink()
        raise CompileError(f"the compiler made a library without {missing[0]}; {REMEDY}")
    raise CompileError(f"{path} vanishes as soon as it is built; set INTAGLIO_CACHE elsewhere")


def _build_in(
    cache: Cache, key: str, sources: Sequence[str], toolchain: Toolchain, entries: Sequence[str]
) -> Path:
    limit = compile_seconds()
    with cache.locked(key, limit):
        found = cache.find(key, ENDING)
        if found is not None:
            return found
        content = compile_library(sources, toolchain, limit, cache)
        for entry in entries:
            if entry.encode() not in content:
                raise CompileError(f"the compiler made a library without {entry}; {REMEDY}")
        return cache.write(key, ENDING, content)


def compile_library(
    sources: Sequence[str], toolchain: Toolchain, seconds: float, cache: Cache
) -> bytes:
    """The bytes of the library; everything happens in a private folder that is gone afterwards.
    The precompiled prelude comes from `cache`."""
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix="intaglio-build-")
    try:
        commands, objects = [], []
        for k, source in enumerate(sources):
            (Path(folder) / f"unit{k}.c").write_text(source, encoding="ascii")
            commands.append(toolchain.compile_command(f"unit{k}.c", f"unit{k}.o"))
            objects.append(f"unit{k}.o")
        precompiled = link_precompiled(cache, toolchain, sources, folder, seconds)
        try:
            _run(commands, folder, toolchain, seconds)
        except CompileError:
            if not precompiled:
                raise
            unlink_precompiled(cache, toolchain, folder)
            _run(commands, folder, toolchain, seconds)
        link = toolchain.link_command(tuple(objects), "library.so")
        _run([link], folder, toolchain, seconds)
        made = Path(folder) / "library.so"
        content = made.read_bytes() if made.exists() else b""
        if content[:4] != b"\x7fELF":
            raise CompileError(
                f"the compiler said success and made no library: {shlex.join(link)}; {REMEDY}"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    compiled[0] += 1
    LOG.debug("compiled %d units in %.2f s", len(sources), time.monotonic() - started)
    return content


def _run(
    commands: Sequence[tuple[str, ...]], folder: str, toolchain: Toolchain, seconds: float
) -> None:
    try:
        ended = run(commands, folder, toolchain.environment(folder), seconds, _processes())
    except OSError as error:
        raise CompileError(
            f"{commands[0][0]} can't be started: {error.strerror}; {REMEDY}"
        ) from None
    last = ended[-1]
    if not last.succeeded:
        text = f"the compiler {last.describe()}: {shlex.join(last.command)}"
        raise CompileError(f"{text}\n{printable(last.output)}" if last.output.strip() else text)


def _processes() -> int:
    """How many compilers run at once: one for each CPU that this process may use."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def printable(output: str) -> str:
    """The end of a compiler's message, without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in output[-4000:]).rstrip()
