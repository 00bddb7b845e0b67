"""Random numbers from a counter: a draw is a pure op of (seed, draw number), so a program's draws
are numbered in the order in which they run eagerly or are traced, and give the same numbers.

Floats take the upper bits of 32 (float64: 53 bits of two words); normal numbers are made of two
uniform ones (Box and Muller, 1958); integers are multiples of 2^-32 scaled to the range."""

from __future__ import annotations

import math
import os
from typing import Any, Final

import numpy as np

import intaglio._methods as _methods
from intaglio._apply import apply, full, one
from intaglio._core import Tensor, counter_of, wrap
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device, on_place
from intaglio._functions_elementwise import cos, log, sqrt, where
from intaglio._functions_movement import sizes
from intaglio._inplace import write
from intaglio._kind import kind_of, kind_of_array
from intaglio._modes import modes, no_grad
from intaglio._places import place_of, to_host
from intaglio._promote import cast, get_default_dtype
from intaglio.compiler.dtypes import DType, float32, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError

_methods.attach()


class Generator:
    """A stream of random numbers: a seed and the number of the next draw, both i64[] tensors."""

    def __init__(self, device: Any = None) -> None:
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
        both = np.array([self.seed_value._data, self.draw._data], np.int64)
        return wrap(both, kind_of_array(both))

    def set_state(self, state: Tensor) -> Generator:
        """Continue from what `get_state` gave."""
        self.seed_value._data[...], self.draw._data[...] = state._data
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
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """The numbers 0 to n - 1 in random order; not in a trace, where sorting is not there yet."""
    if modes.trace is not None:
        from intaglio._trace_errors import at

        raise at(
            "randperm: sorting can't be traced; draw the order outside and give it as argument"
        )
    bits = (generator or default_generator).bits((n,), 2)
    keys = bits[0]._data.astype(np.uint64) << np.uint64(32) | bits[1]._data
    order = np.argsort(keys, kind="stable").astype(as_dtype(dtype or int64).numpy)
    return on_device(wrap(order, kind_of_array(order)), device)


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


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element says, else 0."""
    dtype = input.dtype if input.dtype.kind == "f" else float32
    u = on_place(uniform01(tuple(input.shape), dtype, generator), input._kind.place)
    return cast(u < (input if p is None else p), input.dtype)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Normal numbers with these means and standard deviations."""
    given = [x for x in (mean, std) if isinstance(x, Tensor)]
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


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with the rows' weights as probabilities: i64[..., num_samples]."""
    from intaglio._modes import modes as current

    if current.trace is not None:
        from intaglio._trace_errors import at

        raise at("multinomial: it can't be traced; draw outside and give the indices as argument")
    weights = np.atleast_2d(to_host(input._data).astype(np.float64))
    rows, count = weights.shape
    if replacement:
        u = uniform01((rows, num_samples), float64, generator)._data
        edges = np.cumsum(weights / weights.sum(-1, keepdims=True), -1)
        made = np.stack([np.searchsorted(e, x, "right") for e, x in zip(edges, u, strict=True)])
        made = np.minimum(made, count - 1)
    else:
        u = uniform01((rows, count), float64, generator)._data
        with np.errstate(divide="ignore"):
            keys = np.log1p(-u) / np.where(weights > 0, weights, 1e-300)
        made = np.argsort(-keys, -1, kind="stable")[:, :num_samples]
    made = made.astype(np.int64).reshape(*input.shape[:-1], num_samples)
    return on_place(wrap(made, kind_of(int64, made.shape)), input._kind.place)


# ----------------------------------------------------------------------------------------- in place


def uniform_(
    input: Tensor,
    a: float = 0.0,
    b: float = 1.0,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Filled with uniform numbers in [a, b)."""
    made = uniform01(tuple(input.shape), input.dtype, generator)
    return write(input, made * (b - a) + a if (a, b) != (0.0, 1.0) else made, "uniform_")


def normal_(
    input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with normal numbers."""
    made = normal01(tuple(input.shape), input.dtype, generator)
    return write(input, made * std + mean if (mean, std) != (0.0, 1.0) else made, "normal_")


def random_(
    input: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Filled with whole numbers in [low, high), or [0, low)."""
    start, stop = (low, high) if high is not None else (0, low or 1 << 24)
    return write(
        input, integers(start, stop, tuple(input.shape), input.dtype, generator), "random_"
    )


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Filled with 1 (probability p) and 0."""
    u = uniform01(tuple(input.shape), float32, generator)
    return write(input, cast(u < p, input.dtype), "bernoulli_")


def exponential_(
    input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with exponential numbers of this rate."""
    u = uniform01(tuple(input.shape), input.dtype, generator)
    return write(input, log(1.0 - u) * (-1.0 / lambd), "exponential_")


def dropped(x: Tensor, p: float, generator: Generator | None = None) -> Tensor:
    """x with each element zeroed with probability p, the others divided by 1 - p."""
    keep = on_place(uniform01(tuple(x.shape), float32, generator), x._kind.place) >= p
    return where(keep, x * (1.0 / (1.0 - p)), 0.0)
