"""The Tensor with all its methods attached: what the rest of the front end imports."""

from __future__ import annotations

import intaglio._methods as _methods
from intaglio._core import Parameter, Tensor, is_tensor

__all__ = ["Parameter", "Tensor", "is_tensor"]

_methods.attach()
