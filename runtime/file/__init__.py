"""Model files: `write` and `read` a program with the values of its states. docs/format.md describes
the format."""

from intaglio.runtime.file.reader import LoadedFile, read
from intaglio.runtime.file.writer import write

__all__ = ["LoadedFile", "read", "write"]
