"""How tensors go through a `Queue`, a `Pipe` or the arguments of a `Process`: as the place of their
elements in shared memory, into which they are moved when they are sent."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from intaglio._core import Parameter, Tensor, wrap
from intaglio._functions_random import Generator
from intaglio._kind import kind_of_array
from intaglio.compiler.dtypes import dtype_named
from intaglio.compiler.errors import DeviceError, GradientError
from intaglio.multiprocessing._sharing import share_memory
from intaglio.nn._buffer import Buffer
from intaglio.runtime.handing import Ticket, hand, take
from intaglio.runtime.shared import offset_in, segment_of


def register() -> None:
    """Let `multiprocessing` send tensors this way."""
    for kind in (Tensor, Parameter, Buffer):
        ForkingPickler.register(kind, _reduced)
    ForkingPickler.register(Generator, _reduced_generator)


def _reduced(tensor: Tensor) -> Any:
    if tensor.requires_grad and tensor._node is not None:
        raise GradientError(
            f"{tensor._kind} can't be sent to another process: it requires grad and is a result,"
            " and the derivative does not cross processes; send detach() of it"
        )
    if tensor._kind.place is not None:
        raise DeviceError(
            f"{tensor._kind} can't be sent to another process: it lies on {tensor.device}; send"
            " .cpu() of it"
        )
    share_memory(tensor)
    data = tensor._data
    segment = segment_of(data)
    assert segment is not None
    layout = (tensor.dtype.name, data.shape, data.strides, offset_in(segment, data))
    more = (data.flags.writeable, tensor.requires_grad, dict(tensor.__dict__))
    return _rebuilt, (type(tensor), tuple(hand(segment)), layout, more)


def _rebuilt(cls: type[Tensor], ticket: Any, layout: Any, more: Any) -> Tensor:
    """The tensor that was sent, on the memory that it lies in."""
    segment = take(Ticket(*ticket))
    name, shape, strides, offset = layout
    writeable, requires_grad, attributes = more
    array: Any = np.ndarray(shape, dtype_named(name).numpy, segment, offset, strides)
    array.flags.writeable = writeable
    made = wrap(array, kind_of_array(array), cls)
    made.requires_grad = requires_grad
    made.__dict__.update(attributes)
    return made


def _reduced_generator(generator: Generator) -> Any:
    return _rebuilt_generator, (str(generator.device), generator.get_state().tolist())


def _rebuilt_generator(device: str, state: list[int]) -> Generator:
    """A generator of its own that continues where the one that was sent stood."""
    made = Generator(device)
    made.seed_value._data[...], made.draw._data[...] = state
    return made
