"""What a caller may set from outside: environment variables, and the number of threads."""

from __future__ import annotations

import logging
import os
import re
from functools import lru_cache
from typing import Final

from intaglio.compiler.errors import ArgumentError

LOG: Final = logging.getLogger("intaglio")
"""Where every message of intaglio goes."""

_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_threads: list[int] = []


def num_threads() -> int:
    """How many threads a compiled function may use: what `set_num_threads` said, else
    `INTAGLIO_THREADS`, else the cores that this process may run on."""
    if not _threads:
        _threads.append(positive("INTAGLIO_THREADS", len(os.sched_getaffinity(0))))
    return _threads[0]


def set_num_threads(threads: int) -> None:
    """Let compiled functions use this many threads from now on (at least one). The results do not
    depend on it."""
    if threads < 1:
        raise ArgumentError(f"set_num_threads: {threads} is less than one thread")
    _threads[:] = [threads]


def positive(variable: str, default: int) -> int:
    """The positive number that an environment variable holds; `default` when it is not set."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentError(f"{variable}={text!r}: a positive number is wanted")
    return int(text)


def parse_bytes(amount: int | str) -> int:
    """Bytes from a number or from a text such as `512MiB`, `1.5 GiB`, `2GB` (powers of 1024 and of
    1000)."""
    if isinstance(amount, int):
        if amount < 0:
            raise ArgumentError(f"{amount} bytes: an amount of memory is not negative")
        return amount
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", amount, re.IGNORECASE)
    if not found:
        raise ArgumentError(f"{amount!r} is no amount of memory: write 1GiB, 512MiB or a number")
    number, unit, binary = found.groups()
    power = _UNITS[unit.upper()]
    return int(float(number) * (1 << power if binary or not unit else 1000 ** (power // 10)))


def show_bytes(amount: int) -> str:
    """An amount of memory as people read it: `1.5 MiB`."""
    if amount < 1024:
        return f"{amount} bytes"
    power = min((amount.bit_length() - 1) // 10, 4)
    value, unit = amount / (1 << 10 * power), ("", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{value:.4g} {unit}"


@lru_cache(maxsize=1)
def machine_memory() -> int:
    """Bytes of memory that this process could ever have: the machine's, or its group's limit."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name) as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdecimal():
            found = min(found, int(text))
    return found
