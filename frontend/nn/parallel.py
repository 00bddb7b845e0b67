"""`DataParallel`, at the place where torch has it."""

from intaglio.nn._data_parallel import DataParallel

__all__ = ["DataParallel"]
