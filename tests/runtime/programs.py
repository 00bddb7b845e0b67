"""Small programs that the runtime's tests share."""

from typing import Any

import numpy as np

from intaglio.compiler import ops  # noqa: F401  # fills the registry
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.ir import Function, Program, State
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where

N = Dim("n", max=4096)
X, W = TensorType(float32, (N, 3)), TensorType(float32, (3, 2))
IDS, STEP = TensorType(int64, (N,)), TensorType(float32, (2,))


def forward() -> Function:
    """forward(x) = tanh(x @ w + b)"""
    b = Builder()
    x, w, bias = b.input(X), b.input(W), b.input(STEP)
    y = b.matmul(x, w)
    y = b.tanh(b.add(y, b.expand(bias, shape=(N, 2), axes=(1,))))
    return Function(
        "forward", b.graph([y]), ("x",), ("",), ("w", "b"), (), ("x",), ("tuple", ("*",)), "*"
    )


def train() -> Function:
    """train(x, ids): b += sum(take(w, ids)) over rows; returns the old sum and {"b": b}."""
    b = Builder()
    x, ids, w, bias = b.input(X), b.input(IDS), b.input(W), b.input(STEP)
    b.places = (Where("net.py", 12, "Net.emb"),)
    rows = b.take(w, ids, axis=0)
    b.places = ()
    added = b.add(bias, b.sum(rows, axes=(0,)))
    total = b.sum(x, axes=(0, 1))
    return Function(
        "train",
        b.graph([total, bias, added]),
        ("x", "ids"),
        ("total", "b"),
        ("w", "b"),
        ("b",),
        ("x", "ids"),
        ("tuple", ("*", "*")),
        ("tuple", ("*", ("dict", ("b",), ("*",)))),
    )


def program() -> Program:
    """The two functions over the states w and b."""
    states = {"w": State(("w", "tied.w"), W), "b": State(("b",), STEP)}
    return Program({"forward": forward(), "train": train()}, states)


def values() -> dict[str, np.ndarray[Any, Any]]:
    """Values of the states."""
    w = np.arange(6, dtype=np.float32).reshape(3, 2) / 4
    return {"w": w, "b": np.array([0.5, -0.5], np.float32)}


def inputs(n: int) -> np.ndarray[Any, Any]:
    """An argument x of n rows."""
    return np.linspace(-1, 1, 3 * n, dtype=np.float32).reshape(n, 3)
