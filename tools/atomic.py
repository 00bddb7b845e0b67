"""Writing a file whole or not at all: into a temporary file beside it, which then takes its
place."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `path` when the block ends without an exception. What is
    no regular file, such as a pipe or `/dev/null`, is written to as it is."""
    if is_special(path):
        with open(path, "wb") as file:
            yield file
        return
    folder, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name[:64]}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(descriptor, 0o666 & ~mask)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_special(path: str) -> bool:
    """Whether there is something at `path` that must not be replaced by a file."""
    return os.path.exists(path) and not os.path.isfile(path)


def check_writable(path: str) -> None:
    """Raise `OSError` now where a file could not be written later: a missing folder, no permission,
    or something else in its place."""
    if is_special(path):
        raise OSError(errno.EEXIST, "there is something that is not a file", path)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        error.filename = path  # it names a temporary file
        raise
