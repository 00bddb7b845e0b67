"""Copies between arrays that do not lie densely: one kernel for each size of element, with shape
and strides given at run time. Dims that lie evenly behind each other in both arrays are one dim to
it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.device.array import DeviceArray

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device

DIMS: Final = 8
"""Dims that a copy may have after neighbours were joined."""
THREADS: Final = 256
MOST_BLOCKS: Final = 4096
_TYPES: Final = {1: "char", 2: "short", 4: "int", 8: "long long"}
_KERNEL: Final = """\
extern "C" __global__ void __launch_bounds__({threads})
copy{size}(char *target, const char *source, const ig_walk walk) {{
  const long long stride = (long long)gridDim.x * {threads};
  const long long first = (long long)blockIdx.x * {threads} + threadIdx.x;
  for (long long i = first; i < walk.count; i += stride) {{
    long long rest = i, to = 0, from = 0;
    for (int k = (int)walk.rank - 1; k >= 0; k--) {{
      const long long place = rest % walk.size[k];
      rest /= walk.size[k];
      to += place * walk.to[k];
      from += place * walk.from[k];
    }}
    *({type} *)(target + to) = *(const {type} *)(source + from);
  }}
}}
"""
SOURCE: Final = "typedef struct { long long count, rank, size[8], to[8], from[8]; } ig_walk;\n" + (
    "".join(_KERNEL.format(threads=THREADS, size=s, type=t) for s, t in _TYPES.items())
)


def copy_strided(device: Device, target: DeviceArray, source: DeviceArray) -> None:
    """Copy the elements of one array into another of its shape and dtype; they share no byte."""
    sizes, (to, from_) = joined(target.shape, (target.strides, source.strides))
    if len(sizes) > DIMS:
        raise DeviceError(f"a copy of {target.shape} has more than {DIMS} uneven dims; copy parts")
    kernels: dict[str, Any] = device.kept(
        "copy", lambda: device.functions([SOURCE], [f"copy{size}" for size in _TYPES])
    )
    rest = [0] * (DIMS - len(sizes))
    walk = [target.size, len(sizes), *sizes, *rest, *to, *rest, *from_, *rest]
    numbers = struct.pack(f"{4 + 3 * DIMS}q", target.address, source.address, *walk)
    blocks = min(-(-target.size // THREADS), MOST_BLOCKS)
    kernel = kernels[f"copy{target.itemsize}"]
    device.driver.launch(kernel, (blocks, 1), (THREADS, 1), numbers)


def joined(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Sizes, and the strides of each array, with neighbouring dims joined where all arrays lie
    evenly along them. Dims of size 1 go; strides of 0 join as others do."""
    sizes: list[int] = []
    made: list[list[int]] = [[] for _ in strides]
    for k, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(m[-1] == s[k] * size for m, s in zip(made, strides, strict=True)):
            sizes[-1] *= size
            for m, s in zip(made, strides, strict=True):
                m[-1] = s[k]
        else:
            sizes.append(size)
            for m, s in zip(made, strides, strict=True):
                m.append(s[k])
    return sizes, made
