"""torch.autograd.graph's names: hooks of several tensors at once, and the tape's entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from intaglio._backward import queue_callback
from intaglio._core import Tensor, counter_of
from intaglio._tape import AccumulateGrad, Entry as Node
from intaglio.compiler.errors import ArgumentError, Error, GradientError

__all__ = [
    "GradientEdge", "Node", "get_gradient_edge", "increment_version", "register_multi_grad_hook",
    "saved_tensors_hooks",
]  # fmt: skip


class GradientEdge(NamedTuple):
    """Where the derivative of a tensor goes: an entry, and which of its results."""

    node: Node | AccumulateGrad
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the derivative of a tensor goes."""
    if not tensor.requires_grad:
        raise GradientError(f"get_gradient_edge: {tensor._kind} does not require grad")
    node = tensor._node
    return GradientEdge(AccumulateGrad(tensor) if node is None else node, tensor.output_nr)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Note that somebody else has written to the memory of these tensors."""
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        counter_of(t)[0] += 1


class _Handle:
    """Takes all the hooks off again."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        """Take the hooks off; doing it twice is fine."""
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> _Handle:
    """Call `fn` during backward with the derivatives of several tensors: with the list of them
    (None for a tensor that the derivative did not reach) after all are known, or for mode "any"
    with the first one that is known."""
    if mode not in ("all", "any"):
        raise ArgumentError(f'register_multi_grad_hook: mode is "all" or "any", not {mode!r}')
    found: dict[int, Tensor] = {}

    def finish() -> None:
        gradients = [found.get(k) for k in range(len(tensors))]
        found.clear()
        if mode == "all":
            fn(gradients)

    def hook_of(number: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            first = not found
            found[number] = gradient
            if first:
                queue_callback(finish)
                if mode == "any":
                    fn(gradient)

        return hook

    return _Handle([t.register_hook(hook_of(k)) for k, t in enumerate(tensors)])


class saved_tensors_hooks:
    """Not there: what the tape saves is decided by each op's derivative and kept as bare data."""

    def __init__(self, pack_hook: Any, unpack_hook: Any) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise Error(
        "saved_tensors_hooks: packing of saved tensors is not supported; compute them again inside"
        " an autograd.Function to save memory"
    )
