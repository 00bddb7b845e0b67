"""Functional transforms and torch.autograd.functional: nests, aux, several arguments and results,
closures, modules as functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import func
from intaglio.autograd import functional


def ones(*shape: int) -> ig.Tensor:
    return ig.ones(*shape, dtype=ig.float64)


def two(p: dict[str, ig.Tensor]) -> dict[str, Any]:
    return {"a": p["w"] * 2, "b": (p["w"].prod(),)}


@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd])
def test_jacobians_of_nests(transform: Any) -> None:
    found = transform(two)({"w": ig.tensor([2.0, 3.0], dtype=ig.float64)})
    assert found["a"]["w"].tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert found["b"][0]["w"].tolist() == [3.0, 2.0]
    both = transform(lambda x, y: x * y, argnums=(0, -1))(ones(2), ones(2) * 3)
    assert [m.tolist() for m in both] == [[[3, 0], [0, 3]], [[1, 0], [0, 1]]]
    found, aux = transform(lambda x: (x * x, x + 1), has_aux=True)(ones(2))
    assert found.tolist() == [[2, 0], [0, 2]] and aux.tolist() == [2, 2] and not aux.requires_grad
    compiled = ig.jit(lambda x: transform(lambda v: v * v.sum())(x))
    np.testing.assert_array_equal(compiled(ones(2)).numpy(), [[3, 1], [1, 3]])


def test_hessians_of_nests() -> None:
    found = func.hessian(lambda p: (p["w"] ** 3).sum() * p["v"])(
        {"w": ones(2), "v": ig.tensor(2.0, dtype=ig.float64)}
    )
    assert found["w"]["w"].tolist() == [[12, 0], [0, 12]]
    assert found["w"]["v"].tolist() == found["v"]["w"].tolist() == [3, 3]
    assert found["v"]["v"].item() == 0


def test_directions() -> None:
    value, push = func.linearize(ig.sin, ig.zeros(2, dtype=ig.float64))
    assert value.tolist() == [0, 0]
    assert push(ones(2) * 3).tolist() == [3, 3] == push(ones(2) * 3).tolist()
    y, change, aux = func.jvp(lambda x: (x * x, x + 1), (ones(2),), (ones(2),), has_aux=True)
    assert (y.tolist(), change.tolist(), aux.tolist()) == ([1, 1], [2, 2], [2, 2])
    y, pull, aux = func.vjp(lambda x: (x * x, x + 1), ones(2), has_aux=True)
    assert pull(ones(2))[0].tolist() == pull(ones(2))[0].tolist() == [2, 2]
    masked = lambda x: ig.where(x > 0, x.sqrt(), 0.0)  # noqa: E731
    _, change = func.jvp(masked, (ig.tensor([-1.0, 4.0]),), (ig.ones(2),))
    assert change.tolist() == [0.0, 0.25]
    with pytest.raises(ig.GradientError, match=r"tangent 0 is f64\[3\]"):
        func.jvp(ig.sin, (ones(2),), (ones(3),))
    with pytest.raises(ig.GradientError, match="strict"):
        func.jvp(lambda x: ones(2), (ones(2),), (ones(2),), strict=True)


def test_what_the_function_closes_over_stays_connected() -> None:
    w = ones(2).requires_grad_()
    func.grad(lambda x: (w * x * x).sum())(ones(2)).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [2, 2]
    assert not func.grad(lambda x: (x * x).sum())(ones(2)).requires_grad
    with ig.no_grad():
        assert not func.grad(lambda x: (w * x).sum())(ones(2)).requires_grad
    x = ones(2).requires_grad_()
    func.jacrev(lambda v: v**3)(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [6, 6]


def test_refusals_of_transforms() -> None:
    with pytest.raises(ig.GradientError, match="without dimensions"):
        func.grad(lambda x: x)(ones(2))
    with pytest.raises(ig.GradientError, match="argnums: 3"):
        func.grad(lambda x: x.sum(), argnums=3)(ones(2))
    with pytest.raises(ig.Error, match="vmap"):
        func.vmap(lambda x: x)
    with pytest.raises(ig.TraceError, match="a Jacobian needs sizes that are known"):
        ig.trace(func.jacrev(lambda x: x * 2), ig.spec((ig.Dim("n"),)))


class Tied(ig.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = ig.nn.Linear(2, 2, bias=False), ig.nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.b(self.a(x))


def test_modules_as_functions() -> None:
    tied, x = Tied(), ig.ones(1, 2)
    assert func.functional_call(tied, {"a.weight": ig.ones(2, 2)}, x).tolist() == [[4, 4]]
    apart = {"a.weight": ig.ones(2, 2), "b.weight": ig.zeros(2, 2)}
    with pytest.raises(ValueError, match="tie_weights"):
        func.functional_call(tied, apart, x)
    assert func.functional_call(tied, apart, x, tie_weights=False).tolist() == [[0, 0]]
    func.functional_call(tied, {"nope": x}, x)
    with pytest.raises(RuntimeError, match="nope"):
        func.functional_call(tied, {"nope": x}, x, strict=True)
    models = [ig.nn.Linear(2, 1) for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    assert parameters["weight"].shape == (3, 1, 2) and not buffers
    assert parameters["weight"].requires_grad and parameters["weight"].is_leaf


def test_functional_of_several_inputs() -> None:
    x, y = ones(2), ones(2) * 3
    found = functional.jacobian(lambda a, b: (a * b, a.sum()), (x, y))
    assert found[0][0].tolist() == [[3, 0], [0, 3]] and found[1][1].tolist() == [0, 0]
    assert functional.jacobian(lambda a: ones(2), x).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(RuntimeError, match="strict"):
        functional.jacobian(lambda a: ones(2), x, strict=True)
    second = functional.hessian(lambda a, b: (a * a * b).sum(), (x, y))
    assert second[0][1].tolist() == [[2, 0], [0, 2]] and second[0][0].tolist() == [[6, 0], [0, 6]]
    assert functional.hessian(lambda a: (a**3).sum(), x).tolist() == [[6, 0], [0, 6]]
    for product in (functional.vhp, functional.hvp):
        value, made = product(lambda a, b: (a**3 * b).sum(), (x, y), (x, ig.zeros_like(y)))
        assert value.item() == 6 and [t.tolist() for t in made] == [[18, 18], [3, 3]]
    value, change = functional.jvp(lambda a, b: (a * b, a + b), (x, y), (x, y))
    assert [t.tolist() for t in change] == [[6, 6], [4, 4]]
    value, pulled = functional.vjp(lambda a, b: a * b, (x, y), ones(2))
    assert value.tolist() == [3, 3] and [t.tolist() for t in pulled] == [[3, 3], [1, 1]]
    with pytest.raises(RuntimeError, match="single number"):
        functional.vjp(lambda a: a * 2, x)
    with pytest.raises(RuntimeError, match="v 0 is"):
        functional.vjp(lambda a: a * 2, x, ones(3))
    leaf = ones(2).requires_grad_()
    functional.jacobian(lambda a: a**3, leaf, create_graph=True).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [6, 6]
    assert not functional.jacobian(lambda a: a**3, leaf).requires_grad
