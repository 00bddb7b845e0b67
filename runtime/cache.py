"""The build cache: files found by the digest of what they were made from, checked before every use.

An entry is its content followed by a trailer: a mark, the entry's key and the SHA-256 of both. It
is written to a temporary file and renamed, so it is whole or not there; an entry whose trailer does
not match is deleted and made again. A lock per key (`flock`, which the kernel drops when its holder
dies) lets one process build while others wait, for a bounded time. The folder is private to the
user; one that is not ours, or that others may write, is refused, and a private temporary folder
takes its place. The least recently used entries go when the folder is over its size."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from intaglio.compiler.errors import CompileError
from intaglio.runtime.settings import LOG, parse_bytes

MARK: Final = b"intaglio entry 1"
TRAILER: Final = len(MARK) + 32 + 32
PART: Final = 1 << 18
DEFAULT_SIZE: Final = 1 << 30
SCAN_EVERY: Final = 64
STALE: Final = 3600.0
"""Seconds after which a use renews an entry's time, and an abandoned temporary file is removed."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of entries. `temporary` ones live as long as this process."""

    folder: Path
    temporary: bool = False

    def path(self, key: str, ending: str) -> Path:
        """Where the entry of a key lies, whether or not it is there."""
        return self.folder / f"{key}{ending}"

    def find(self, key: str, ending: str) -> Path | None:
        """The entry's file when it is there and whole; a damaged one is deleted."""
        path = self.path(key, ending)
        try:
            with path.open("rb") as file:
                whole = _is_whole(file, key)
        except OSError:
            return None
        return path if self._keep(path, whole) else None

    def read(self, key: str, ending: str) -> bytes | None:
        """The entry's content when it is there and whole; a damaged one is deleted."""
        path = self.path(key, ending)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        whole = _trailer(data[:-TRAILER], key) == data[-TRAILER:]
        return data[:-TRAILER] if self._keep(path, whole) else None

    def _keep(self, path: Path, whole: bool) -> bool:
        """Renew a whole entry's time now and then; delete a damaged one."""
        with suppress(OSError):
            if not whole:
                LOG.warning("the cache entry %s is damaged; it is made again", path)
                path.unlink()
            elif time.time() - path.stat().st_mtime > STALE:
                os.utime(path)
        return whole

    def write(self, key: str, ending: str, content: bytes | Path) -> Path:
        """Put an entry in place, whole or not at all. A path stands for a file's content."""
        path = self.path(key, ending)
        number, name = tempfile.mkstemp(prefix="new-", dir=self.folder)
        try:
            with os.fdopen(number, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content + _trailer(content, key))
                else:
                    _copy(content, file, key)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _written(self)
        return path

    @contextmanager
    def locked(self, key: str, limit: float) -> Iterator[bool]:
        """Hold the lock of a key while building it. Waits `limit` seconds at most; False: not got,
        and building without it does no harm."""
        try:
            number = os.open(
                self.folder / f"lock-{key[:2]}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            yield False
            return
        held = False
        try:
            held = _lock(number, time.monotonic() + limit)
            yield held
        finally:
            if held:  # said explicitly: a forked child may hold a copy of the descriptor
                fcntl.flock(number, fcntl.LOCK_UN)
            os.close(number)

    def shrink(self, limit: int) -> None:
        """Delete the least recently used entries until the folder is within `limit` bytes, and
        temporary files that a killed process left."""
        found = []
        for item in os.scandir(self.folder):
            with suppress(OSError):
                about = item.stat(follow_symlinks=False)
                if item.name.startswith("new-"):
                    if time.time() - about.st_mtime > STALE:
                        os.unlink(item.path)
                elif not item.name.startswith("lock-"):
                    found.append((about.st_mtime, about.st_size, item.path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= limit:
                break
            with suppress(OSError):
                os.unlink(path)
            total -= size


def _trailer(content: bytes, key: str) -> bytes:
    name = hashlib.sha256(key.encode()).digest()
    return MARK + name + hashlib.sha256(content + name).digest()


def _is_whole(file: BinaryIO, key: str) -> bool:
    """Whether an entry's trailer fits; the content is never in memory as a whole."""
    length = os.fstat(file.fileno()).st_size - TRAILER
    name, made = hashlib.sha256(key.encode()).digest(), hashlib.sha256()
    while length > 0:
        part = file.read(min(length, PART))
        if not part:
            return False
        made.update(part)
        length -= len(part)
    made.update(name)
    return length == 0 and file.read() == MARK + name + made.digest()


def _copy(source: Path, file: BinaryIO, key: str) -> None:
    """Write a file's content and its trailer, part by part."""
    name, made = hashlib.sha256(key.encode()).digest(), hashlib.sha256()
    with source.open("rb") as content:
        while part := content.read(PART):
            made.update(part)
            file.write(part)
    made.update(name)
    file.write(MARK + name + made.digest())


def _lock(number: int, deadline: float) -> bool:
    pause = 0.001
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


_writes: dict[Path, int] = {}


def _written(cache: Cache) -> None:
    """Keep the folder within its size: looked at on the first writing, then on every 64th."""
    count = _writes.get(cache.folder, 0)
    _writes[cache.folder] = count + 1
    if count % SCAN_EVERY == 0:
        limit = parse_bytes(os.environ.get("INTAGLIO_CACHE_SIZE") or DEFAULT_SIZE)
        with suppress(OSError):
            cache.shrink(limit)


# ------------------------------------------------------------------------------- which folder it is

_known: dict[str, Cache] = {}
_temporary: list[Cache] = []


def cache_folder() -> str:
    """The folder that the environment asks for: `$INTAGLIO_CACHE`, else
    `$XDG_CACHE_HOME/intaglio`, else `~/.cache/intaglio`."""
    asked = os.environ.get("INTAGLIO_CACHE")
    if asked:
        return os.path.abspath(asked)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "intaglio")


def open_cache() -> Cache:
    """The cache of this user, or a private temporary one, with a warning, where that can't be used
    safely."""
    folder = cache_folder()
    if folder not in _known:
        reason = _unusable(folder)
        _known[folder] = temporary_cache(reason) if reason else Cache(Path(folder))
    return _known[folder]


def _unusable(folder: str) -> str:
    """Why a folder can't be the cache; empty when it can. Makes it when it is not there."""
    if not os.path.isabs(folder):
        return f"{folder!r} is not an absolute path"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        about = os.stat(folder)
    except OSError as error:
        return f"{folder} can't be made: {error.strerror}"
    if about.st_uid != os.geteuid():
        return f"{folder} belongs to another user"
    if stat.S_IMODE(about.st_mode) & 0o022:
        return f"{folder} may be written by others; run: chmod 700 {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} can't be written"
    return ""


def temporary_cache(reason: str) -> Cache:
    """A private folder that this process deletes when it ends; the first use says why."""
    if not _temporary:
        try:
            folder = tempfile.mkdtemp(prefix="intaglio-")
        except OSError as error:
            raise CompileError(
                f"no build cache: {reason}; and no temporary folder: {error.strerror}; "
                "set INTAGLIO_CACHE to a folder of yours"
            ) from None
        LOG.warning("%s; builds go to a temporary folder. Set INTAGLIO_CACHE.", reason)
        _temporary.append(Cache(Path(folder), temporary=True))
        atexit.register(_remove, folder, os.getpid())
    return _temporary[0]


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # not a forked child, whose parent still uses it
        shutil.rmtree(folder, ignore_errors=True)
