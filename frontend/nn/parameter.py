"""Parameters and buffers, at the place where torch has them."""

from intaglio._tensor import Parameter
from intaglio.nn._buffer import Buffer
from intaglio.nn._uninitialized import UninitializedBuffer, UninitializedParameter

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]
