"""Functions with calls into Python, as text and as plans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float64, int64
from intaglio.compiler.errors import Error
from intaglio.compiler.ir import Graph
from intaglio.compiler.launch import HostLaunch, LaunchLoop, concrete
from intaglio.compiler.lower import lower
from intaglio.compiler.lowered import HostSpec, Lowered
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.early import early
from intaglio.compiler.passes.fold import fold
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from intaglio.runtime.plans import decode, encode
from tests.runtime.host_ops import registered

n = Dim("n")


@pytest.fixture(scope="module", autouse=True)
def ops() -> Iterator[None]:
    with registered():
        yield


def f64(*shape: int | Dim) -> TensorType:
    return TensorType(float64, shape)


def chain() -> Graph:
    """A call between native steps, on a permuted operand."""
    b = Builder()
    x = b.input(f64(n, n))
    made = b.test_inverse(b.permute(b.exp(x), axes=(1, 0)), shift=1.5, sizes=(n, n))
    return fuse(b.graph([b.tanh(made)]))


def test_it_is_a_step_alone_between_others() -> None:
    made = lower(chain())
    (step,) = [s for s in made.steps if s.ops == ("test_inverse",)]
    assert step.kernel == "" and [s.number for s in made.steps] == [0, 1, 2, 3]
    (spec,) = made.hosts
    assert spec == HostSpec("test_inverse", (("shift", 1.5), ("sizes", (n, n))), (f64(n, n),),
                            (f64(n, n),), spec.node)  # fmt: skip
    assert made.nodes[spec.node][0] == "test_inverse"
    assert [b.kind for b in made.buffers].count("host") == 1


def test_without_calls_nothing_is_different() -> None:
    b = Builder()
    made = lower(fuse(b.graph([b.exp(b.input(f64(4)))])))
    assert not made.hosts and "host" not in {b.kind for b in made.buffers}
    assert "ig_f0_body" in made.sources[0] and "ig_host" not in made.sources[0]


def test_no_name_reaches_the_text() -> None:
    for target in ("c", "cuda"):
        assert not any("test_inverse" in text for text in lower(chain(), target=target).sources)


def test_nothing_is_fused_with_it() -> None:
    assert [node.op for node in chain().nodes if node.op == "test_inverse"] == ["test_inverse"]


def test_it_is_not_folded() -> None:
    b = Builder()
    graph = b.graph([b.test_inverse(b.constant(np.eye(2)))])
    assert [node.op for node in fold(graph).nodes] == ["constant", "test_inverse"]


def test_a_state_is_updated_in_part_behind_the_call() -> None:
    b = Builder()
    x, state, k = b.input(f64(2, 2)), b.input(f64(4, 2)), b.input(TensorType(int64, (1,)))
    moved = b.index_add(state, k, b.slice(x, starts=(0, 0), stops=(1, 2), steps=(1, 1)), axis=0)
    graph = b.graph([moved, b.test_inverse(b.exp(x))])
    ordered = [node.op for node in early(graph, [state]).nodes]
    assert ordered.index("test_inverse") < ordered.index("index_add")
    made = lower(graph, in_place={0: 1})
    assert [s.may_alias for s in made.buffers if s.kind == "output"][0] == 1
    assert not lower(graph, in_place={1: 0}).buffers[3].may_alias  # its own result is needed first


def looped() -> Graph:
    """A call in every round."""
    inner = Builder()
    c, s = inner.input(f64(2, 2)), inner.input(f64(2, 2))
    made = inner.test_inverse(inner.add(c, s))
    body = inner.graph([inner.tanh(made), made])
    b = Builder()
    operands = (b.input(f64(2, 2)), b.input(f64(n, 2, 2)))
    attributes = {"body": body, "carries": 1, "xs": 1, "length": n, "reverse": True}
    return fuse(b.graph(b.apply("scan", operands, attributes)))


def test_a_loop_around_it_on_a_device_is_the_hosts() -> None:
    made = lower(looped(), target="cuda")
    (loop,) = [item for item in made.launches if isinstance(item, LaunchLoop)]
    assert any(isinstance(item, HostLaunch) for item in loop.body)
    called = [c for c in concrete(made.launches, {"n": 3}) if isinstance(c.launch, HostLaunch)]
    assert len(called) == 3
    results = [c.pointers[-1] for c in called]
    assert len(set(results)) == 3  # each in its slice of the stack


def test_a_plan_with_calls_is_read_as_it_was_written() -> None:
    known = {"n": n}
    for graph in (chain(), looped()):
        for target in ("c", "cuda"):
            made = lower(graph, target=target)
            again = decode(Lowered, json.loads(json.dumps(encode(made))), known)
            assert again.hosts == made.hosts and again.launches == made.launches
            assert again.sources == made.sources


@pytest.mark.parametrize("bad", [{"float": "x"}, {"sizes": "n"}, {"dtype": "f9"}, {}, [{"a": 1}]])
def test_a_damaged_attribute_is_refused(bad: Any) -> None:
    made = encode(HostSpec("test_inverse", (("shift", 1.5),), (), (), 0))
    made["attributes"][0][1] = bad
    with pytest.raises((Error, ValueError, KeyError)):
        decode(HostSpec, made, {})
