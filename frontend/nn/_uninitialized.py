"""Parameters and buffers whose shape is not known yet: they take one in place, so that whoever
holds them (an optimizer, a tied module) keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import intaglio as ig
from intaglio._core import wrap
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError


class _Uninitialized(Tensor):
    """A tensor without a shape; it becomes one of the class `becomes`."""

    __slots__ = ()
    becomes: type[Tensor] = Tensor

    def materialize(
        self, shape: Sequence[int], device: Any = None, dtype: DType | None = None
    ) -> None:
        """Take a shape, with any numbers; the dtype and device stay unless they are given."""
        dtype = self.dtype if dtype is None else dtype
        with ig.no_grad():
            self.data = ig.empty(tuple(shape), dtype=dtype, device=device)
        self.__class__ = type(self).becomes  # type: ignore[assignment]  # it becomes another class

    def _missing(self) -> NoReturn:
        raise ShapeError(
            f"{type(self).__name__}: it has no shape yet; call the module once with an input, or"
            " materialize() it"
        )

    @property
    def shape(self) -> Any:
        """None yet: refused."""
        self._missing()

    def share_memory_(self) -> Any:
        """Refused: there is no memory yet."""
        self._missing()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = type(self)(requires_grad=self.requires_grad, dtype=self.dtype)
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, None, self.dtype)


def _made(cls: type[Any], requires_grad: bool, device: Any, dtype: DType | None) -> Any:
    nothing = ig.empty((0,), dtype=dtype, device=device)
    made = wrap(nothing._data, nothing._kind, cls)
    made.requires_grad = requires_grad
    return made


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape the first input decides."""

    __slots__ = ()
    becomes = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: DType | None = None
    ) -> Any:
        return _made(cls, requires_grad, device, dtype)

    if TYPE_CHECKING:

        def __init__(
            self, requires_grad: bool = True, device: Any = None, dtype: DType | None = None
        ) -> None: ...


class UninitializedBuffer(_Uninitialized):
    """A buffer whose shape the first input decides."""

    __slots__ = ()

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        persistent: bool = True,
    ) -> Any:
        if not persistent:
            raise ArgumentError("UninitializedBuffer: persistent=False is said by register_buffer")
        return _made(cls, requires_grad, device, dtype)

    if TYPE_CHECKING:

        def __init__(
            self,
            requires_grad: bool = False,
            device: Any = None,
            dtype: DType | None = None,
            persistent: bool = True,
        ) -> None: ...


def is_uninitialized(value: object) -> bool:
    """Whether it is a parameter or buffer without a shape."""
    return isinstance(value, _Uninitialized)
