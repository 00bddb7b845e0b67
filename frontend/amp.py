"""torch.amp's names. Computing in 16 bits is said in the model's dtype here, not by a mode: ops
then accumulate in f32 by themselves, and bf16 needs no scaling of the loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from intaglio.compiler.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])


def _is_off(name: str, device: Any) -> bool:
    """Whether it is for CUDA and there is none; says so."""
    from intaglio.runtime.device.driver import is_available

    if str(device).partition(":")[0] != "cuda" or is_available():
        return False
    warnings.warn(f"{name}: there is no CUDA device, so it does nothing", stacklevel=3)
    return True


class autocast:
    """A context and decorator that does nothing, for scripts that switch it off: `autocast("cuda",
    enabled=False)`. For CUDA it is off, with a warning, where there is no such device, as in torch.
    Raises `ArgumentError` when enabled."""

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if enabled and not _is_off("autocast", device_type):
            raise ArgumentError(
                "autocast: ops are not cast by a mode; convert the model, model.to(bfloat16), and"
                " its inputs (sums are kept in f32), or pass enabled=False"
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: F) -> F:
        return function


class GradScaler:
    """A scaler that is switched off: `scale` gives back what it gets, and `step` steps. Raises
    `ArgumentError` when enabled: bf16 has the range of f32 and needs no scaling. For CUDA it is
    off, with a warning, where there is no such device, as in torch."""

    def __init__(self, device: str = "cuda", *_: Any, enabled: bool = True, **__: Any) -> None:
        if enabled and not _is_off("GradScaler", device):
            raise ArgumentError(
                "GradScaler: losses are not scaled; train in bfloat16, whose range is that of"
                " float32, or pass enabled=False"
            )

    def scale(self, outputs: Any) -> Any:
        """What it gets."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing to do."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(...)`."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing to do."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing is kept."""


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether ops are cast by a mode: never."""
    return False


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` may be enabled: never."""
    return False
