"""The class of devices' names: `intaglio.device("cuda:1")` is the text with its parts."""

from __future__ import annotations

from typing import Any, Final

from intaglio.compiler.errors import DeviceError


class device(str):
    """The name of a device: `device("cpu")`, `device("cuda:1")`, `device("cuda", 1)`. It is a
    string, and equal to one; the device itself need not be there."""

    __slots__ = ()

    def __new__(cls, type: Any, index: int | None = None) -> device:
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        name, _, number = str(type).partition(":")
        if name not in ("cpu", "cuda"):
            raise DeviceError(f"device: {type!r} is no device; there are 'cpu' and 'cuda'")
        if number and (index is not None or not number.isdecimal()):
            raise DeviceError(f"device: {type!r} with index {index!r} names no device")
        chosen = number if index is None else str(index)
        return super().__new__(cls, f"{name}:{chosen}" if chosen else name)

    @property
    def type(self) -> str:
        """`cpu` or `cuda`."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # torch's name, instead of str.index
        """The number of the device; None where none was named."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        more = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{more})"


CPU: Final = device("cpu")
