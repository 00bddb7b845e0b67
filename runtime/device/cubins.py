"""Compiled modules in the build cache: found by the digest of their text, the compiler and the
device's capability, checked before every use."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Final

import intaglio.compiler
from intaglio.runtime.cache import open_cache
from intaglio.runtime.device.driver import Driver
from intaglio.runtime.settings import LOG
from intaglio.runtime.toolchain import compile_seconds, digest_of

ENDING: Final = ".cubin"
PRELUDE: Final = Path(str(intaglio.compiler.__file__)).parent / "codegen" / "prelude"
"""The folder of the headers that generated text includes."""

compiled: list[int] = [0]
"""How many modules this process has compiled (not found in the cache): for tests and reports."""


def compiled_module(driver: Driver, source: str, capability: tuple[int, int]) -> bytes:
    """The module of a text: from the cache, or compiled now. Raises `CompileError`."""
    key = digest_of("module", source, driver.compiler(), repr(capability), _prelude())
    cache = open_cache()
    found = cache.read(key, ENDING)
    if found is not None:
        return found
    with cache.locked(key, compile_seconds()):
        found = cache.read(key, ENDING)
        if found is not None:
            return found
        started = time.monotonic()
        made = driver.compile(source, capability)
        compiled[0] += 1
        LOG.debug("compiled a CUDA module in %.2f s", time.monotonic() - started)
        try:
            cache.write(key, ENDING, made)
        except OSError as error:
            LOG.debug("the module is not stored: %s", error)
        return made


@lru_cache(maxsize=1)
def _prelude() -> str:
    return digest_of(*(f.read_text() for f in sorted(PRELUDE.glob("*.h"))))
