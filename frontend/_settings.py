"""torch's switches: what can be asked and set for the process. Here results do not depend on
threads, precision modes or chosen algorithms, so most are answers, and setting one to what cannot
be had is refused."""

from __future__ import annotations

import warnings
from typing import Any, Final

from intaglio._core import Tensor
from intaglio._device_names import CPU, device as device_of
from intaglio._dtype_names import as_dtype
from intaglio._promote import set_default_dtype
from intaglio._watch import set_detect_anomaly
from intaglio.compiler.dtypes import dtype_named
from intaglio.compiler.errors import ArgumentError, DeviceError
from intaglio.runtime.settings import num_threads as get_num_threads

__all__ = ["get_num_threads"]

_PRECISIONS: Final = ("highest", "high", "medium")
_DEBUG_MODES: Final = ("default", "warn", "error")
_TENSOR_TYPES: Final = {
    "FloatTensor": "f32", "DoubleTensor": "f64", "HalfTensor": "f16", "BFloat16Tensor": "bf16",
}  # fmt: skip
_CATEGORY: Final = {"b": 0, "u": 1, "i": 1, "f": 2}


def get_default_device() -> device_of:
    """Where tensors are made when nobody says where: the CPU."""
    return CPU


def set_default_device(device: Any) -> None:
    """Accepts the CPU (or None) only. Raises `DeviceError` for any other device: a tensor is made
    where `device=` says."""
    if device is not None and device_of(device).type != "cpu":
        raise DeviceError(
            "set_default_device: tensors are made on the CPU unless told otherwise; write"
            f" device={str(device)!r} where they are made, or move the model there with .to"
        )


def set_default_tensor_type(t: Any) -> None:
    """`set_default_dtype` by a class of tensors or its name: "torch.DoubleTensor"."""
    name = t if isinstance(t, str) else getattr(t, "__name__", repr(t))
    found = _TENSOR_TYPES.get(name.rpartition(".")[2])
    if found is None:
        raise ArgumentError(
            f"set_default_tensor_type: {name} is none of {', '.join(_TENSOR_TYPES)}"
        )
    set_default_dtype(dtype_named(found))


def get_num_interop_threads() -> int:
    """How many ops run at once: one, each with `num_threads()` threads."""
    return 1


def set_num_interop_threads(threads: int) -> None:
    """Has no effect: ops run one after another. `set_num_threads` sets the threads of each."""
    if threads < 1:
        raise ArgumentError(f"set_num_interop_threads: {threads} is less than one thread")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Has no effect: every algorithm gives the same bits each time, whatever the mode."""


def are_deterministic_algorithms_enabled() -> bool:
    """Whether results are the same each time: always."""
    return True


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Has no effect, as `use_deterministic_algorithms`: 0 ("default"), 1 ("warn"), 2 ("error")."""
    if debug_mode not in (*range(len(_DEBUG_MODES)), *_DEBUG_MODES):
        raise ArgumentError(
            f"set_deterministic_debug_mode: {debug_mode!r} is none of 0, 1, 2 and"
            f" {', '.join(_DEBUG_MODES)}"
        )


def get_deterministic_debug_mode() -> int:
    """2, torch's "error": results never vary."""
    return 2


def set_float32_matmul_precision(precision: str) -> None:
    """Accepts "highest", "high" and "medium"; products of f32 are computed in f32 with any."""
    if precision not in _PRECISIONS:
        raise ArgumentError(
            f"set_float32_matmul_precision: {precision!r} is none of {', '.join(_PRECISIONS)}"
        )


def get_float32_matmul_precision() -> str:
    """How products of f32 are computed: "highest", in f32."""
    return "highest"


def set_flush_denormal(mode: bool) -> bool:
    """Accepts False: numbers below the normal range are kept, so that results do not depend on a
    mode of the processor. Raises `ArgumentError` for True."""
    if mode:
        raise ArgumentError(
            "set_flush_denormal: numbers below the normal range are always kept; remove the call"
            " (or clamp what may get so small)"
        )
    return True


def set_warn_always(b: bool, /) -> None:
    """Let Python show each warning of intaglio every time, or once a place again."""
    warnings.filterwarnings("always" if b else "default", module=r"intaglio(\.|$)")


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """`autograd.set_detect_anomaly`: look for NaN in every eager op and derivative."""
    set_detect_anomaly(mode, check_nan)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether numbers of a dtype become another one of the same category (bool, integers, floats)
    or a higher one."""
    return _CATEGORY[as_dtype(from_).kind] <= _CATEGORY[as_dtype(to).kind]


def typename(obj: Any, /) -> str:
    """The name of an object's type with its module; torch's names for tensors:
    "torch.FloatTensor"."""
    if isinstance(obj, Tensor):
        return str(obj.type())
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", "") or ""
    name = str(named.__qualname__)
    return name if module in ("", "builtins") else f"{module}.{name}"
