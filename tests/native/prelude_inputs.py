"""Inputs for the prelude's tests: special values, every exponent, ranges that are hard."""

from __future__ import annotations

import numpy as np

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    np.inf,
    -np.inf,
    np.nan,
    1.5,
    2.5,
    -2.5,
    3.0,
    -3.0,
    1e5,
    1e6,
    1e22,
]


def floats(dtype: type, count: int, seed: int = 0) -> np.ndarray:
    """About `count` values of `dtype`: special ones, any bits, and values near 0 and 1."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    words = rng.integers(0, 2**info.bits, count // 2, dtype=f"u{info.bits // 8}").view(dtype)
    near = rng.uniform(-4, 4, count // 4).astype(dtype)
    wide = (rng.uniform(-1, 1, count // 4) * 10.0 ** rng.uniform(-8, 4, count // 4)).astype(dtype)
    ends = [
        info.max,
        -info.max,
        info.tiny,
        -info.tiny,
        info.smallest_subnormal,
        -info.smallest_subnormal,
        info.eps,
    ]
    edges = np.array(
        [*SPECIAL, *ends, 2.0**23, 2.0**24, 2.0**31, -(2.0**31), 2.0**32, 2.0**52, 2.0**63], dtype
    )
    return np.concatenate([edges, words, near, wide])


def integers(dtype: type, count: int, seed: int = 0) -> np.ndarray:
    """Ends of the range, small values and uniform bit patterns."""
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    edges = np.array(
        [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 31, 32, 63, 64], dtype
    )
    small = rng.integers(-70 if info.min else 0, 70, count // 2).astype(dtype)
    return np.concatenate(
        [edges, small, rng.integers(info.min, info.max, count // 2, dtype=dtype, endpoint=True)]
    )


def operands(types: tuple[str, ...], count: int) -> list[np.ndarray]:
    """Arrays of one length for the operand types; pairs meet special with special values."""
    made: list[np.ndarray] = []
    for k, t in enumerate(types):
        if t == "bool":
            a = np.random.default_rng(k).integers(0, 2, count).astype(np.bool_)
        elif t[0] == "f":
            a = floats(np.float32 if t == "f32" else np.float64, count, k)
        else:
            a = integers({"i64": np.int64, "i32": np.int32, "u32": np.uint32}[t], count, k)
        made.append(a)
    length = min(a.size for a in made)
    made = [a[:length] for a in made]
    if len(made) > 1:  # every pair of the first 40, then pairs at random
        heads = [a[:40] for a in made]
        grids = np.meshgrid(*heads[:2], indexing="ij")
        pairs = [g.ravel() for g in grids] + [np.resize(h, 1600) for h in heads[2:]]
        made = [np.concatenate([p, a]) for p, a in zip(pairs, made, strict=True)]
    return made
