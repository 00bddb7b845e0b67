"""The table of docs/ops.md: one row per registered op, from the registry itself.

Dtypes are those that the type rule accepts, tried on the op's first sample; the derivative is asked
of the rule by differentiating that sample; C and CUDA by lowering it. The name in torch is that of
intaglio's function of the same name, or what `SPELLED` says."""

from __future__ import annotations

from collections.abc import Callable

import intaglio
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DTYPES
from intaglio.compiler.errors import Error
from intaglio.compiler.lower import lower
from intaglio.compiler.op import OPS, Builder, result_types
from intaglio.compiler.types import TensorType
from tests.samples import Case, cases, graph_of

SPELLED = {
    "not": "logical_not, bitwise_not", "and": "logical_and, bitwise_and",
    "or": "logical_or, bitwise_or", "xor": "logical_xor, bitwise_xor", "shl": "bitwise_left_shift",
    "shr": "bitwise_right_shift", "recip": "reciprocal", "floordiv": "floor_divide",
    "floormod": "remainder", "cast": "Tensor.to", "bitcast": "Tensor.view(dtype)",
    "iota": "arange", "constant": "tensor", "concat": "cat", "slice": "Tensor.__getitem__",
    "pad": "nn.functional.pad", "conv": "nn.functional.conv2d",
    "conv_input": "nn.functional.conv_transpose2d", "conv_weight": "nn.grad.conv2d_weight",
    "take_along": "gather", "cumulative": "cumsum, cumprod, cummax, cummin, logcumsumexp",
    "window_max": "nn.functional.max_pool2d", "window_sum": "nn.functional.avg_pool2d",
    "stop_gradient": "Tensor.detach", "random_bits": "rand", "custom_vjp": "autograd.Function",
    "scatter_join": "scatter_reduce", "index_add": "index_add",
    "strided": "as_strided",
}  # fmt: skip
HEAD = "| op | dtypes | derivative | C | CUDA | in torch |\n|---|---|---|---|---|---|"


def accepted(case: Case) -> str:
    """The dtypes that may stand for that of the result, or of the first operand."""
    held = [t.dtype for t in case.types]
    made = result_types(case.rule, case.types, case.attributes)[0].dtype
    chosen = made if made in held else held[0] if held else None
    names = []
    for dtype in DTYPES:
        types = [TensorType(dtype, t.shape) if t.dtype is chosen else t for t in case.types]
        attributes = dict(case.attributes)
        if "dtype" in attributes and not case.types:
            attributes["dtype"] = dtype
        try:
            result_types(case.rule, types, attributes)
        except (Error, TypeError):
            continue
        names.append(dtype.name)
    return "all" if len(names) == len(DTYPES) else " ".join(names)


def derivative(case: Case) -> str:
    """Which derivative rules the op has, by asking them for one."""
    b = Builder()
    xs = [b.input(t) for t in case.types]
    ys = b.apply(case.op, xs, case.attributes)
    floats = [x.type.dtype.kind == "f" for x in xs]
    found = []
    try:
        dys = [b.input(y.type) if y.type.dtype.kind == "f" else None for y in ys]
        made = case.rule.vjp(b, dys, ys, xs, floats, **case.attributes)
        found += ["reverse"] if any(d is not None for d in made) else []
        dxs = [b.input(x.type) if f else None for x, f in zip(xs, floats, strict=True)]
        forward = case.rule.jvp(b, dxs, xs, ys, **case.attributes)
        found += ["forward"] if forward and any(d is not None for d in forward) else []
    except Error:
        return "none"
    return ", ".join(found) or "zero"


def lowers(case: Case, target: str) -> str:
    """Whether the op becomes a kernel for a target, or is a call of Python."""
    if getattr(case.rule, "host", False):
        return "host call"
    try:
        lower(graph_of(case), target=target)
    except (Error, NotImplementedError, KeyError) as error:
        return f"no ({type(error).__name__})"
    return "yes"


def torch_name(name: str) -> str:
    """What a user of torch calls it."""
    if name in SPELLED:
        return SPELLED[name]
    found: Callable[..., object] | None = getattr(intaglio, name, None)
    return name if callable(found) and not isinstance(found, Dim) else ""


def rows() -> list[str]:
    """The table's rows, in alphabetical order."""
    by_name: dict[str, Case] = {}
    for case in cases():
        smooth = case.differentiable and all(0 not in t.shape for t in case.types)
        if case.op not in by_name or (smooth and not by_name[case.op].differentiable):
            by_name[case.op] = case
    made = []
    for name in sorted(OPS):
        if "::" in name or name not in by_name:
            continue
        case = by_name[name]
        cells = [accepted(case), derivative(case), lowers(case, "c"), lowers(case, "cuda")]
        made.append(f"| `{name}` | {' | '.join(cells)} | {torch_name(name)} |")
    return made


def table() -> str:
    """The whole table."""
    return "\n".join([HEAD, *rows()])
