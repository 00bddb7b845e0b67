"""Random numbers from a counter: a draw is a pure op of (seed, draw number), so a program's draws
are numbered in the order in which they run eagerly or are traced, and give the same numbers.

Floats take the upper bits of 32 (float64: 53 bits of two words); normal numbers are made of two
uniform ones (Box and Muller, 1958); integers are multiples of 2^-32 scaled to the range."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import intaglio._methods as _methods
from intaglio._apply import apply, full, one
from intaglio._core import Tensor, counter_of, wrap
from intaglio._device_names import device as device_of
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device, on_place
from intaglio._functions_elementwise import cos, log, sqrt, where
from intaglio._functions_movement import sizes
from intaglio._inplace import write
from intaglio._kind import kind_of_array
from intaglio._modes import modes, no_grad
from intaglio._places import place_of, to_host
from intaglio._promote import cast, get_default_dtype, into
from intaglio.compiler.dtypes import DType, float32, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError

_methods.attach()


class Generator:
    """A stream of random numbers: a seed and the number of the next draw, both i64[] tensors."""

    def __init__(self, device: Any = None) -> None:
        self.device = device_of("cpu" if device is None else device)
        self.seed_value, self.draw = _scalar(0), _scalar(0)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of this seed anew."""
        if modes.trace is not None:
            raise ArgumentError("manual_seed: seed outside of the traced function")
        self.seed_value._data[...] = _signed(seed)
        self.draw._data[...] = 0
        return self

    def seed(self) -> int:
        """Start a stream of a seed taken from the operating system; the seed."""
        chosen = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(self.seed_value._data)

    def get_state(self) -> Tensor:
        """Seed and draw number: i64[2]."""
        if modes.trace is not None:
            raise ArgumentError("get_state: read the state outside of the traced function")
        both = np.array([self.seed_value._data, self.draw._data], np.int64)
        return wrap(both, kind_of_array(both))

    def set_state(self, state: Tensor) -> Generator:
        """Continue from what `get_state` gave: i64[2]."""
        if modes.trace is not None:
            raise ArgumentError("set_state: set the state outside of the traced function")
        if state.dtype is not int64 or tuple(state.shape) != (2,):
            raise ArgumentError(f"set_state: a state is i64[2], from get_state, not {state._kind}")
        seed, draw = to_host(state._data)
        self.seed_value._data[...], self.draw._data[...] = seed, draw
        counter_of(self.seed_value)[0] += 1
        counter_of(self.draw)[0] += 1
        return self

    def bits(self, shape: tuple[Any, ...], words: int = 1) -> list[Tensor]:
        """The next draw: this many u32 tensors of the shape, from the words of one counter."""
        inputs = (self.seed_value, self.draw)
        made = [
            apply("random_bits", inputs, {"shape": shape, "word": word})[0] for word in range(words)
        ]
        if modes.trace is None:
            self.draw._data[...] += 1
            counter_of(self.draw)[0] += 1
        else:
            with no_grad():
                write(self.draw, apply("add", (self.draw, full(1, self.draw._kind)))[0])
        return made


def _scalar(number: int) -> Tensor:
    array = np.array(number, np.int64)
    return wrap(array, kind_of_array(array))


def _signed(seed: int) -> int:
    """The seed as a signed 64-bit number."""
    return (int(seed) + (1 << 63)) % (1 << 64) - (1 << 63)


default_generator: Final = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream of this seed anew."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default stream with a seed from the operating system; the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default stream."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Seed and draw number of the default stream: i64[2]."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Continue the default stream from what `get_rng_state` gave."""
    default_generator.set_state(state)


def check_elements(
    name: str, x: Any, holds: Callable[[Any], Any], words: str, of: str = "its arguments"
) -> None:
    """Raise `ArgumentError` unless a number, or every element of a tensor, is as it should be. A
    trace knows no elements, and checks none."""
    if modes.trace is not None and isinstance(x, Tensor):
        return
    if not bool(holds(x.detach()).all() if isinstance(x, Tensor) else holds(x)):
        shown = x._kind if isinstance(x, Tensor) else repr(x)
        raise ArgumentError(f"{name}: {shown}: {of} {words}")


def _uniform(bits: list[Tensor], dtype: DType) -> Tensor:
    """Numbers in [0, 1) with the dtype's precision."""
    if dtype is float64:
        high = cast(one("shr", bits[0], full(5, bits[0]._kind)), float64)
        low = cast(one("shr", bits[1], full(6, bits[1]._kind)), float64)
        return (high * float(1 << 26) + low) * 2.0**-53
    count = 24 if dtype.size == 4 else 11 if dtype.name == "f16" else 8
    whole = cast(one("shr", bits[0], full(32 - count, bits[0]._kind)), float32)
    return cast(whole * 2.0**-count, dtype)


def _drawn(
    shape: tuple[Any, ...], dtype: DType, generator: Generator | None, words: int
) -> list[Tensor]:
    if dtype.kind != "f":
        raise DTypeError(f"random numbers of {dtype} are made by randint")
    with no_grad():
        return (generator or default_generator).bits(shape, words)


def uniform01(shape: tuple[Any, ...], dtype: DType, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1)."""
    bits = _drawn(shape, dtype, generator, 2 if dtype is float64 else 1)
    with no_grad():
        return _uniform(bits, dtype)


def normal01(shape: tuple[Any, ...], dtype: DType, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers, computed in f32 (f64 for f64)."""
    wide = float64 if dtype is float64 else float32
    bits = _drawn(shape, dtype, generator, 4 if wide is float64 else 2)
    half = len(bits) // 2
    with no_grad():
        u, v = _uniform(bits[:half], wide), _uniform(bits[half:], wide)
        radius = sqrt(log(1.0 - u) * -2.0)
        return cast(radius * cos(v * (2 * math.pi)), dtype)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    made = uniform01(sizes(size), as_dtype(dtype or get_default_dtype()), generator)
    made = on_device(made, device)
    return made.requires_grad_() if requires_grad else made


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers."""
    made = normal01(sizes(size), as_dtype(dtype or get_default_dtype()), generator)
    made = on_device(made, device)
    return made.requires_grad_() if requires_grad else made


def integers(
    low: int, high: int, shape: tuple[Any, ...], dtype: DType, generator: Any = None
) -> Tensor:
    """Whole numbers in [low, high): the upper half of a 32-bit draw times the range."""
    span = high - low
    if span <= 0:
        raise ArgumentError(f"randint: there is no whole number from {low} below {high}")
    words = (generator or default_generator).bits(shape, 1 if span <= 1 << 31 else 2)
    with no_grad():
        bits = cast(words[0], int64)
        if len(words) == 1:
            scaled = one("shr", bits * span, full(32, bits._kind))
        else:
            wide = one("shl", one("shr", bits, full(1, bits._kind)), full(32, bits._kind))
            scaled = one("floormod", wide + cast(words[1], int64), full(span, bits._kind))
        return cast(scaled + low, dtype)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Whole numbers in [low, high), or in [0, low): `randint(10, (3,))`, `randint(1, 7, (3,))`."""
    if size is None:
        if high is None:
            raise ArgumentError("randint: give a size: randint(low, high, (n,))")
        low, high, size = (0, low, high) if not isinstance(high, int) else (low, high, ())
    elif high is None:
        low, high = 0, low
    made = integers(int(low), int(high), tuple(size), as_dtype(dtype or int64), generator)
    return on_device(made, device)


def randperm(
    n: Any,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The numbers 0 to n - 1 in random order: the order of n random numbers of 64 bits."""
    if isinstance(n, int) and n < 0:
        raise ArgumentError(f"randperm: n is a count, not {n}")
    wanted = as_dtype(dtype or int64)
    _check_room("randperm", n, wanted)
    high, low = (generator or default_generator).bits((n,), 2)
    with no_grad():
        upper = cast(high, int64) - (1 << 31)  # signed numbers in the order of the unsigned ones
        upper = one("shl", upper, full(32, upper._kind))
        keys = one("or", upper, cast(low, int64))
        order = apply("sort", (keys,), {"axis": 0, "descending": False})[1]
        made = on_device(cast(order, wanted), device)
    if out is not None:
        return into(out, made)
    return made.requires_grad_() if requires_grad else made


_WHOLE = {"f16": 1 << 11, "bf16": 1 << 8, "f32": 1 << 24, "f64": 1 << 53}


def _check_room(name: str, n: Any, dtype: DType) -> None:
    """Refuse a dtype that does not hold every whole number below n."""
    if not isinstance(n, int):
        return
    if dtype.kind == "b":
        raise DTypeError(f"{name}: {dtype} holds no numbers")
    bits = dtype.size * 8 - (dtype.kind == "i")
    most = _WHOLE[dtype.name] if dtype.kind == "f" else (1 << bits) - 1
    if n > most:
        raise DTypeError(f"{name}: {dtype} does not hold every number up to {n}")


def rand_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    memory_format: Any = None,
) -> Tensor:
    """Uniform numbers in [0, 1), in a tensor's shape and dtype."""
    made = uniform01(tuple(input.shape), as_dtype(dtype or input.dtype), generator)
    made = on_device(made, device or input.device)
    return made.requires_grad_() if requires_grad else made


def randn_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    memory_format: Any = None,
) -> Tensor:
    """Standard normal numbers, in a tensor's shape and dtype."""
    made = normal01(tuple(input.shape), as_dtype(dtype or input.dtype), generator)
    made = on_device(made, device or input.device)
    return made.requires_grad_() if requires_grad else made


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: Any = None,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Whole numbers in [low, high), in a tensor's shape and dtype."""
    start, stop = (0, low) if high is None else (low, high)
    made = integers(start, stop, tuple(input.shape), as_dtype(dtype or input.dtype), generator)
    return on_device(made, device or input.device)


def bernoulli(
    input: Tensor, p: Any = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with the probability that each element says, else 0."""
    share = input if p is None else p
    if isinstance(share, Tensor) and share.dtype.kind != "f":
        raise DTypeError(f"bernoulli: probabilities are floating-point, {share._kind} is not")
    check_elements("bernoulli", share, lambda x: (x >= 0) & (x <= 1), "lie between 0 and 1")
    dtype = input.dtype if input.dtype.kind == "f" else float32
    u = on_place(uniform01(tuple(input.shape), dtype, generator), input._kind.place)
    if isinstance(share, Tensor):
        share = share.detach()
    made = cast(u < share, input.dtype)
    return made if out is None else into(out, made)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Normal numbers with these means and standard deviations."""
    made = _normal(mean, std, size, generator, dtype, device)
    if out is not None:
        return into(out, made)
    return made.requires_grad_() if requires_grad else made


def _normal(
    mean: Any, std: Any, size: Any, generator: Generator | None, dtype: Any, device: Any
) -> Tensor:
    check_elements("normal", std, lambda x: x >= 0, "are deviations, not negative")
    given = [x for x in (mean, std) if isinstance(x, Tensor)]
    for x in given:
        if x.dtype.kind != "f":
            raise DTypeError(f"normal: {x._kind}: means and deviations are floating-point")
    mean, std = (x.detach() if isinstance(x, Tensor) else x for x in (mean, std))
    if size is None:
        from intaglio._promote import broadcast_shapes

        if not given:
            raise ArgumentError("normal: give a size, or a tensor of means or deviations")
        size = broadcast_shapes(*(x.shape for x in given))
    wanted = given[0].dtype if dtype is None and given else as_dtype(dtype or get_default_dtype())
    drawn = on_device(normal01(tuple(size), wanted, generator), device)
    if given:
        drawn = on_place(drawn, place_of(x._kind for x in given))
    return drawn * std + mean


def dropped(x: Tensor, p: float, generator: Generator | None = None) -> Tensor:
    """x with each element zeroed with probability p, the others divided by 1 - p."""
    keep = on_place(uniform01(tuple(x.shape), float32, generator), x._kind.place) >= p
    return where(keep, x * (1.0 / (1.0 - p)), 0.0)
