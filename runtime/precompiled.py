"""The precompiled prelude: what gcc made of the header that every generated translation unit
includes first, so that a unit is not charged its parsing (about 0.1 s) again.

It is an entry of the build cache, one for each toolchain, and is checked once per process. A build
has a link to it in its own folder, where gcc looks first; gcc itself refuses one that does not fit
and reads the header instead. A header that could not be precompiled leaves an empty entry, so that
it is not tried again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from intaglio.runtime.cache import TRAILER, Cache
from intaglio.runtime.process import run
from intaglio.runtime.settings import LOG
from intaglio.runtime.toolchain import HEADERS, Toolchain, digest_of

ENDING: Final = ".gch"
HEADER: Final = "ig_prelude.h"
INCLUDE: Final = f'#include "{HEADER}"\n'
WORTH_UNITS: Final = 3
"""Units in one build that make precompiling pay at once; else it waits for the second build."""

_checked: dict[Path, tuple[int, int, int]] = {}


def link_precompiled(
    cache: Cache, toolchain: Toolchain, sources: Sequence[str], folder: str, seconds: float
) -> bool:
    """Put a link to the precompiled prelude into a build's folder; False where there is none.

    It is made now if the cache holds a library already or this build has many units."""
    units = sum(source.startswith(INCLUDE) for source in sources)
    if not toolchain.precompiles or not units:
        return False
    key = _key(toolchain)
    try:
        path = _find(cache, key)
        if path is None and (units >= WORTH_UNITS or any(cache.folder.glob("*.so"))):
            path = _make(cache, key, toolchain, seconds)
        if path is None or not _size(path):
            return False
        os.symlink(path, os.path.join(folder, HEADER + ENDING))
    except OSError as error:
        LOG.debug("no precompiled header: %s", error)
        return False
    return True


def unlink_precompiled(cache: Cache, toolchain: Toolchain, folder: str) -> None:
    """Take the link away and use no precompiled prelude any more: a build failed with it."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, HEADER + ENDING))
        _checked.pop(cache.path(_key(toolchain), ENDING), None)
        cache.write(_key(toolchain), ENDING, b"")


def _key(toolchain: Toolchain) -> str:
    """No digest of a library begins like it: its lock is taken while one of those is held."""
    return "p" + digest_of("precompiled", HEADER, toolchain.fingerprint)


def _find(cache: Cache, key: str) -> Path | None:
    """The entry, its digest checked if this process has not done so before."""
    path = cache.path(key, ENDING)
    with suppress(OSError):
        if _checked.get(path) == _identity(path):
            return path
        if cache.find(key, ENDING) is not None:
            _checked[path] = _identity(path)
            return path
    return None


def _make(cache: Cache, key: str, toolchain: Toolchain, seconds: float) -> Path:
    with cache.locked(key, seconds):
        found = _find(cache, key)
        if found is not None:
            return found
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="intaglio-build-") as folder:
            made = _precompile(toolchain, folder, seconds)
            path = cache.write(key, ENDING, made or b"")
        _checked[path] = _identity(path)
        LOG.debug("precompiled the prelude in %.2f s", time.monotonic() - started)
        return path


def _precompile(toolchain: Toolchain, folder: str, seconds: float) -> Path | None:
    """The precompiled header; None when the compiler does not make one."""
    made = Path(folder) / (HEADER + ENDING)
    command = toolchain.precompile_command(str(HEADERS[0] / HEADER), made.name)
    (ended,) = run([command], folder, toolchain.environment(folder), seconds)
    if ended.succeeded and made.exists():
        return made
    LOG.debug("the header can't be precompiled: the compiler %s", ended.describe())
    return None


def _size(path: Path) -> int:
    return path.stat().st_size - TRAILER


def _identity(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns
