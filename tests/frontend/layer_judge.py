"""Building and running the rows of the layer tables in either library: outputs, derivatives,
buffers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.frontend import (
    layer_table,
    layer_table_images,
    layer_table_losses,
    layer_table_sequences,
)
from tests.frontend.layer_table import Array, Case, Fixed, Made

TABLE: dict[str, list[Case]] = (
    layer_table.CASES
    | layer_table_images.CASES
    | layer_table_sequences.CASES
    | layer_table_losses.CASES
)


def build(nn: Any, name: str, case: Case, **more: Any) -> Any:
    """The layer of a row, as this library's `nn` makes it; `more` are further keywords."""

    def resolved(value: Any) -> Any:
        return value.make(nn) if isinstance(value, Made) else value

    kwargs = {key: resolved(value) for key, value in case.kwargs.items()}
    module = getattr(nn, name)(*map(resolved, case.args), **kwargs, **more)
    return module.train(case.training)


def draw_state(module: Any, seed: int) -> dict[str, Array]:
    """Numbers for the parameters and running statistics of a torch module, by name; other buffers
    as they are."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    parameters = dict(module.named_parameters())
    for name, tensor in module.state_dict().items():
        if name in parameters:
            drawn[name] = rng.standard_normal(tuple(tensor.shape)) * 0.7
        elif name.endswith(("running_mean", "running_var")):
            drawn[name] = rng.uniform(0.3, 1.5, tuple(tensor.shape))
        else:
            drawn[name] = tensor.detach().numpy().copy()
    return drawn


def draw_inputs(name: str, case: Case) -> list[Any]:
    """A row's inputs as arrays where they were shapes; tuples where they were lists."""
    rng = np.random.default_rng(zlib.crc32(f"{name}{case.args}".encode()))

    def drawn(value: Any) -> Any:
        if isinstance(value, tuple):
            return rng.standard_normal(value)
        return tuple(map(drawn, value)) if isinstance(value, list) else value

    return [drawn(value) for value in case.inputs]


Tensors = Callable[[Array], Any]


def leaves(values: list[Any], options: dict[str, Any]) -> list[Array]:
    """The arrays among a row's inputs and options, in order."""
    found: list[Array] = []

    def keep(array: Array) -> None:
        found.append(array)

    mapped([*values, *options.values()], keep)
    return found


def mapped(values: Any, f: Callable[[Array], Any]) -> Any:
    """The values with `f` of every array."""
    if isinstance(values, Fixed):
        return f(values.array)
    if isinstance(values, np.ndarray):
        return f(values)
    if isinstance(values, list | tuple):
        return type(values)(mapped(value, f) for value in values)
    return values


def differentiated(values: list[Any]) -> list[bool]:
    """For each array among the inputs whether it has a derivative."""
    found: list[bool] = []

    def visit(value: Any) -> None:
        if isinstance(value, Fixed):
            found.append(False)
        elif isinstance(value, np.ndarray):
            found.append(value.dtype.kind == "f")
        elif isinstance(value, list | tuple):
            for one in value:
                visit(one)

    visit(values)
    return found


def tensors_in(value: Any) -> list[Any]:
    """The tensors of a result, in order."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in tensors_in(one)]
    return [value]


def evaluate(lib: Any, module: Any, case: Case, values: list[Any], given: list[Any]) -> list[Any]:
    """Outputs of the module, derivatives by its inputs and by its parameters of their weighted sum;
    `given` are the tensors of the row's arrays."""
    wanted = differentiated(values)
    given = [
        t.detach().clone().requires_grad_() if k < len(wanted) and wanted[k] else t
        for k, t in enumerate(given)
    ]
    by = [t for k, t in enumerate(given) if k < len(wanted) and wanted[k]]
    by += [p for p in module.parameters() if p.requires_grad]
    # An in-place layer may not write into a leaf that has a derivative.
    inplace = any(getattr(m, "inplace", False) for m in module.modules())
    source = iter([t.clone() if inplace else t for t in given])
    inputs = mapped(values, lambda _: next(source))
    options = {key: mapped(value, lambda _: next(source)) for key, value in case.options.items()}
    outputs = tensors_in(module(*inputs, **options))
    total = None
    for k, output in enumerate(outputs):
        if not output.requires_grad:
            continue
        weights = np.random.default_rng(k).standard_normal(tuple(output.shape))
        part = (output * lib.tensor(weights)).sum()
        total = part if total is None else total + part
    if total is None or not by:
        return [[t.detach() for t in outputs], []]
    found = lib.autograd.grad(total, by, allow_unused=True)
    zeros = [lib.zeros_like(t) if g is None else g for g, t in zip(found, by, strict=True)]
    return [[t.detach() for t in outputs], zeros]
