"""Linear maps of one input, and bilinear ones of two."""

from __future__ import annotations

from intaglio._composite import as_one
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ShapeError
from intaglio.nn._kinds import KindError


@as_one
@rounded_once
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`. input: [..., i], weight: [o, i], bias: [o]; the result is [...,
    o]."""
    given: object = input
    if isinstance(given, tuple | list):
        raise KindError(
            f"linear takes a tensor, not a {type(given).__name__}; of the result of a recurrent"
            " layer or attention it is the first part: output, state = layer(x)"
        )
    if input.shape[-1] != weight.shape[-1] and isinstance(input.shape[-1], int):
        raise ShapeError(
            f"linear: the input's last size {input.shape[-1]} is not "
            f"the {weight.shape[-1]} that the weight takes"
        )
    product = input @ weight.mT
    return product if bias is None else product + bias


@rounded_once
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The sums over i and j of input1[..., i] weight[o, i, j] input2[..., j], plus bias[o]: [...,
    o]."""
    if weight.ndim != 3:
        raise ShapeError(f"bilinear: the weight {weight._kind}: [o, i, j] is wanted")
    outer, first, second = weight.shape
    lead = tuple(input1.shape[:-1])
    if lead != tuple(input2.shape[:-1]) or not input1.ndim or not input2.ndim:
        raise ShapeError(
            f"bilinear: {input1._kind} and {input2._kind} differ in their leading dimensions"
        )
    if input1.shape[-1] != first or input2.shape[-1] != second:
        raise ShapeError(
            f"bilinear: {input1._kind} and {input2._kind} do not fit the weight {weight._kind}"
        )
    if bias is not None and tuple(bias.shape) != (outer,):
        raise ShapeError(f"bilinear: the bias {bias._kind} has not the shape ({outer},)")
    with entered("bilinear"):
        spread = weight.permute(1, 0, 2).reshape(first, outer * second)
        joined = (input1 @ spread).reshape(*lead, outer, second)
        result = (joined @ input2.unsqueeze(-1)).squeeze(-1)
        return result if bias is None else result + bias
