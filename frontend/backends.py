"""torch.backends' switches. They choose among libraries that are not used here: setting one has no
effect on results, and questions are answered with what is there."""

from __future__ import annotations

import sys
from typing import Any, Final

from intaglio.compiler.errors import ArgumentError


class Switches:
    """One library's switches by name; setting any other name raises `ArgumentError`."""

    _name: str
    _names: tuple[str, ...]

    def __init__(self, name: str, **switches: Any) -> None:
        self.__dict__.update(switches, _name=name, _names=tuple(switches))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise ArgumentError(
                f"backends.{self._name}: there is no switch {name!r}, but {', '.join(self._names)}"
            )
        self.__dict__[name] = value

    def is_available(self) -> bool:
        """Whether the library is used: never."""
        return False

    def __repr__(self) -> str:
        return f"intaglio.backends.{self._name}"


cudnn: Final = Switches(
    "cudnn", enabled=False, benchmark=False, deterministic=True, allow_tf32=False,
    benchmark_limit=None,
)  # fmt: skip
sys.modules[f"{__name__}.cudnn"] = cudnn  # type: ignore[assignment]  # `import ...backends.cudnn`
mkldnn: Final = Switches("mkldnn", enabled=False, deterministic=True, allow_tf32=False)
mkl: Final = Switches("mkl")
openmp: Final = Switches("openmp")
mps: Final = Switches("mps")
