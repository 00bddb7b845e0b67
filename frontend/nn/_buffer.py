"""`Buffer`: a tensor that registers itself when it becomes an attribute of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intaglio._core import Tensor, wrap
from intaglio._kind import kind_of_array


class Buffer(Tensor):
    """A tensor that is state but is not trained: assigned to a module's attribute it is registered
    there, as by `register_buffer`. `persistent=False` keeps it out of `state_dict`."""

    __slots__ = ()
    persistent: bool

    def __new__(cls, data: Any = (), *, persistent: bool = True) -> Buffer:
        array = data._present("Buffer()") if isinstance(data, Tensor) else Tensor(data)._data
        made = wrap(array, kind_of_array(array), cls)
        assert isinstance(made, Buffer)
        made.persistent = persistent
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuilt, (self._concrete("pickle"), self.persistent)

    if TYPE_CHECKING:

        def __init__(self, data: Any = (), *, persistent: bool = True) -> None: ...


def _rebuilt(array: Any, persistent: bool) -> Buffer:
    """What was pickled."""
    return Buffer(array, persistent=persistent)
