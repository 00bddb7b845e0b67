"""A lowered function: its text, and what running and explaining it needs to know.

Apart from the code that makes it, so that a stored one is read without loading the compiler."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import DType
from intaglio.compiler.launch import HostLaunch, Launch, LaunchLoop
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What `plan`, `explain` and errors need to know of a kernel in a step: its C function, the
    step's number, the ops in it, their places, the buffers it reads and writes, rough work, and for
    how many groups of equal ops it does it."""

    kernel: str
    number: int
    ops: tuple[str, ...]
    where: Places
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    nanoseconds: Size
    count: int = 1


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """One entry of the array of pointers that the function takes.

    `kind`: `input` (of the graph, by `index`), `output`, `temp` (placed in the arena), `constant`
    (by `index` in `Lowered.constants`), `packed` (by `index` in `Lowered.packs`), `host` (the
    function that makes the calls into Python).
    `first` and `last` are the steps that touch it. An output may lie in the memory of the input
    `may_alias`: no step reads that input afterwards."""

    kind: str
    index: int
    bytes: Size
    dtype: DType
    shape: tuple[Size, ...]
    first: int
    last: int
    may_alias: int | None = None


@dataclass(frozen=True, slots=True)
class PackSpec:
    """A packed copy of an input (by number) that the function reads instead: `entry` is a function
    of the same library that makes it, `int entry(ctx, {source, destination}, dims)`, in `bytes`
    bytes, 64-byte aligned. Equal `form`s of one array are the same bytes in one process."""

    input: int
    entry: str
    form: str
    bytes: int


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A call into Python: the op, its attributes, the operands' and results' types, and the number
    of its node. Its operands and results lie row-major, in this order."""

    op: str
    attributes: tuple[tuple[str, object], ...]
    operands: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    node: int


@dataclass(frozen=True, slots=True)
class Lowered:
    """A function as text: the translation units, the entry point's name, what `dims[]` and
    `buffers[]` hold in order, bytes of scratch per thread, and what is known of the steps.

    `nodes` gives, for the number in an error record, the op and the places of the node. For CUDA
    `launches` is the plan by which the host runs the kernels, and `scratch_bytes` what the largest
    grid needs; there is no entry point.

    `hosts` are the calls into Python, by number: the function makes them through the pointer in the
    buffer of the kind `host`, on the thread that called it."""

    sources: tuple[str, ...]
    entry: str
    size_names: tuple[str, ...]
    buffers: tuple[BufferSpec, ...]
    constants: tuple[np.ndarray, ...]
    scratch_bytes: Size
    steps: tuple[StepInfo, ...]
    nodes: tuple[tuple[str, Places], ...]
    nanoseconds: Size
    packs: tuple[PackSpec, ...] = ()
    launches: tuple[Launch | HostLaunch | LaunchLoop, ...] = ()
    hosts: tuple[HostSpec, ...] = ()
