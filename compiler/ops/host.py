"""Ops that run on the host: their kernel is a Python function, such as LAPACK's through NumPy."""

from __future__ import annotations

from typing import ClassVar

from intaglio.compiler.op import Op


class HostCall(Op):
    """Base of ops whose kernel is their `reference`: a pure function of its operands, which it never
    writes to. A compiled function is cut at such a node: what lies around it stays native. Its bits
    are those of the library that it calls, outside of the promise of equal bits."""

    host: ClassVar[bool] = True
