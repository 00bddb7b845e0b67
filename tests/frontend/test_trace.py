"""Tracing: programs over named state that compute what the Python function computes, bit for
bit."""

import random
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.verify import verify_program


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: ig.Tensor) -> Any:
        return self.b(F.relu(self.a(x)))


def values(*tensors: ig.Tensor) -> list[np.ndarray[Any, Any]]:
    return [t.detach().numpy().copy() for t in tensors]


def assert_same(ours: Any, expected: Any) -> None:
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_symbolic_sizes_and_places() -> None:
    model = Net()
    program = ig.trace(model, ig.spec((ig.Dim("n", max=64), 4)))
    verify_program(program.ir)
    text = str(program)
    assert "size n from 1 to 64" in text
    assert "state a.weight: f32[8,4] (parameter)" in text
    assert "matmul" in text and "test_trace.py:" in text and "in Net.a" in text
    for count in (1, 5, 64):
        x = ig.randn(count, 4)
        assert_same(values(program(x)), values(model(x)))
    with pytest.raises(ig.ShapeError):
        program(ig.randn(3, 5))


def train_parts() -> Any:
    ig.manual_seed(3)
    model = Net()
    opt = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        opt.zero_grad()
        loss = F.cross_entropy(F.dropout(model(x), 0.25), t)
        loss.backward()
        opt.step()
        return {"loss": loss}

    return model, opt, step


def test_a_train_step_is_the_function_that_runs_eagerly() -> None:
    outcomes = []
    x, t = ig.randn(6, 4), ig.randint(0, 3, (6,))
    for how in ("eager", "program", "jit"):
        model, opt, step = train_parts()
        ig.manual_seed(7)
        if how == "program":
            run = ig.trace(step, x, t, name="train").train
        else:
            run = ig.jit(step) if how == "jit" else step
        losses = [run(x, t)["loss"] for _ in range(3)]
        moments = [tensor for _, tensor, _ in opt.named_state()]
        grads = [p.grad for p in model.parameters()]
        outcomes.append(values(*losses, *model.parameters(), *moments, *grads))
    assert_same(outcomes[1], outcomes[0])
    assert_same(outcomes[2], outcomes[0])


def test_names_and_kinds_of_state() -> None:
    model, opt, step = train_parts()
    x, t = ig.randn(6, 4), ig.randint(0, 3, (6,))
    program = ig.trace(model.eval(), x).trace("train_step", step, x, t)
    state = program.ir.state
    assert state["a.weight"].kind == "parameter"
    assert state["optim.lr"].kind == "hyperparameter"
    assert state["random.draw"].kind == "random"
    assert "a.weight.grad" not in state, "it was cleared, and no function reads what is left"
    assert any(s.kind == "optimizer" for s in state.values())
    function = program.functions["train_step"]
    assert function.arguments == ("x", "t") and function.results == ("loss",)
    assert "a.weight" in function.updates and "random.draw" in function.updates
    assert "random.seed" not in function.updates
    assert ("", False) in program.functions["forward"].training
    places = [w for n in function.graph.nodes for w in n.where if w.gradient]
    assert places, "derivative nodes carry the line that they differentiate"


def test_accumulated_gradients_are_state() -> None:
    model = Net()

    def accumulate(x: ig.Tensor) -> None:
        model(x).sum().backward()

    x = ig.randn(2, 4)
    program = ig.trace(accumulate, x, name="accumulate")
    assert "a.weight.grad" in program.functions["accumulate"].reads
    assert model.a.weight.grad is None, "tracing itself changes nothing"
    program.accumulate(x)
    program.accumulate(x)
    twice = values(*(p.grad for p in model.parameters()))
    model.zero_grad()
    accumulate(x)
    accumulate(x)
    assert_same(twice, values(*(p.grad for p in model.parameters())))


def test_tied_weights_are_one_state_with_two_names() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    program = ig.trace(model, ig.spec((2, 3)))
    (state,) = program.ir.state.values()
    assert state.names == ("0.weight", "1.weight")


def test_buffers_views_and_writes() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", ig.zeros(2, 3))

        def forward(self, x: ig.Tensor) -> Any:
            row = self.seen[1]
            row.add_(x)
            self.seen.view(-1)[0] = 7
            y = x * 1
            y[1:] = 0
            y[::2].mul_(3)
            return y + row

    model, twin = Counter(), Counter()
    x = ig.tensor([1.0, 2.0, 3.0])
    program = ig.trace(model, ig.spec((3,)))
    for _ in range(2):
        assert_same(values(program(x)), values(twin(x)))
        assert_same(values(model.seen), values(twin.seen))
    assert program.ir.state["seen"].kind == "buffer"


def test_structures_of_arguments_and_results() -> None:
    def f(batch: dict[str, Any], scale: ig.Tensor) -> Any:
        return {"pair": (batch["a"] * scale, [batch["b"]]), "none": None}

    batch = {"a": ig.ones(2), "b": ig.ones(1)}
    program = ig.trace(f, batch, ig.tensor(2.0))
    function = program.functions["forward"]
    assert function.arguments == ("batch.a", "batch.b", "scale")
    assert function.results == ("pair.0", "pair.1.0")
    assert function.parameters == ("batch", "scale")
    made = program(batch, scale=ig.tensor(3.0))
    assert made["pair"][0].tolist() == [3.0, 3.0] and made["none"] is None


def refusals() -> dict[str, tuple[Any, str]]:
    def branch(x: ig.Tensor) -> ig.Tensor:
        return x if x.sum() > 0 else -x

    def read(x: ig.Tensor) -> ig.Tensor:
        return x * x.max().item()

    def array(x: ig.Tensor) -> Any:
        return np.asarray(x)

    def mask(x: ig.Tensor) -> ig.Tensor:
        return x[x > 0]

    def python(x: ig.Tensor) -> ig.Tensor:
        return x * random.random()

    def legacy(x: ig.Tensor) -> ig.Tensor:
        return x * float(np.random.rand())

    return {
        "branch": (
            branch,
            r"bool\(\) of a traced value.*ig\.where.*test_trace\.py:\d+: return x if",
        ),
        "read": (read, r"item\(\).*known only when the program runs.*test_trace\.py:\d+"),
        "array": (array, r"np\.asarray\(\)"),
        "mask": (mask, "depends on data"),
        "python": (python, r"Python's random module.*ig\.rand"),
        "legacy": (legacy, "NumPy's random module"),
    }


@pytest.mark.parametrize("name", refusals())
def test_tracing_never_lies(name: str) -> None:
    function, message = refusals()[name]
    with pytest.raises(ig.TraceError, match=message):
        ig.trace(function, ig.spec((3,)))


def test_changed_attributes_and_symbolic_lengths_are_refused() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: ig.Tensor) -> ig.Tensor:
            self.calls += 1
            return x

    with pytest.raises(ig.TraceError, match=r"Counting\.calls was 0 and is 1.*buffer"):
        ig.trace(Counting(), ig.spec((2,)))
    with pytest.raises(ig.TraceError, match="symbolic"):
        ig.trace(lambda x: x * len(x), ig.spec(("n",)))


def test_a_failing_trace_restores_everything() -> None:
    model = Net()
    before = values(*model.parameters())

    def wrong(x: ig.Tensor) -> Any:
        with ig.no_grad():
            for p in model.parameters():
                p.mul_(0)
        model(x).sum().backward()
        raise KeyError("enough")

    with pytest.raises(KeyError):
        ig.trace(wrong, ig.spec((2, 4)))
    assert_same(values(*model.parameters()), before)
    assert not ig.is_tracing() and model.a.weight.grad is None
    assert model(ig.ones(1, 4)).shape == (1, 3)


def test_escaped_values_are_refused() -> None:
    kept: dict[str, ig.Tensor] = {}

    def f(x: ig.Tensor) -> ig.Tensor:
        kept["twice"] = x * 2
        return x

    ig.trace(f, ig.spec((2,)))
    with pytest.raises(ig.TraceError, match="trace that has ended"):
        kept["twice"] + 1
    with pytest.raises(ig.TraceError, match="known only when"):
        kept["twice"].numpy()


def test_random_draws_are_the_eager_ones() -> None:
    def draw(x: ig.Tensor) -> Any:
        return x + ig.rand(3), ig.randn(3), ig.randint(0, 100, (3,))

    x = ig.zeros(3)
    program = ig.trace(draw, x)
    ig.manual_seed(11)
    eager = [values(*draw(x)) for _ in range(2)]
    ig.manual_seed(11)
    for expected in eager:
        assert_same(values(*program(x)), expected)


def test_sizes_in_arithmetic() -> None:
    def f(x: ig.Tensor) -> Any:
        n = x.shape[0]
        return x.mean(0), x.reshape(n * 2, -1).sum(1), ig.arange(n) * n, x.var(0)

    program = ig.trace(f, ig.spec(("n", 4)))
    for n in (2, 7):
        x = ig.randn(n, 4)
        assert_same(values(*program(x)), values(*f(x)))


def test_scan() -> None:
    weight = ig.randn(3, 3)

    def recur(x: ig.Tensor, h: ig.Tensor) -> Any:
        def cell(carry: ig.Tensor, part: ig.Tensor) -> Any:
            new = carry @ weight + part
            return new, new * 2

        return ig.scan(cell, h, x)

    x, h = ig.randn(4, 2, 3), ig.zeros(2, 3)
    last, ys = recur(x, h)
    expected = h
    for k in range(4):
        expected = expected @ weight + x[k]
        np.testing.assert_allclose(ys[k].numpy(), 2 * expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(last.numpy(), expected.numpy(), rtol=1e-6)
    program = ig.trace(recur, ig.spec(("t", 2, 3)), h)
    assert_same(values(*program(x, h)), values(last, ys))
    wide = weight.double()
    assert ig.autograd.gradcheck(
        lambda w, x: ig.scan(lambda c, p: ((c @ w + p), c), x[0], x)[0],
        (wide.requires_grad_(), x[:2].double().requires_grad_()),
    )
    with pytest.raises(ig.ShapeError, match="keep their types"):
        ig.scan(lambda c, p: (ig.cat([c, p]), None), h, x)


def test_saved_programs_say_what_was_frozen(tmp_path: Any) -> None:
    factor, table = 3.0, np.arange(3, dtype=np.float32)

    def f(x: ig.Tensor) -> ig.Tensor:
        return x * factor + ig.tensor(table)

    program = ig.trace(f, ig.spec((3,)))
    assert any("'factor' = 3.0" in line for line in program.constants)
    assert any("constant f32[3]" in line for line in program.constants)
    path = tmp_path / "model.ig"
    program.save(path, metadata={"note": "hello"})
    from intaglio.runtime import load

    loaded = load(path)
    x = ig.ones(3)
    assert_same([loaded(x.numpy())], values(f(x)))
    assert loaded.metadata["note"] == "hello"
    assert "<table" in program._repr_html_() and "<pre" in program._repr_html_()


def test_the_usual_program_in_one_call() -> None:
    model = Net()
    n = ig.Dim("n")
    program = ig.program(
        model,
        inputs=ig.spec((n, 4)),
        targets=ig.spec((n,), ig.int64),
        loss=F.cross_entropy,
        optim=optim.SGD(model.parameters(), lr=0.1),
        metrics={"accuracy": lambda y, t: (y.argmax(1) == t).to(ig.float32).mean()},
    )
    assert list(program.functions) == ["forward", "eval", "train_step", "init"]
    assert ("", True) in program.functions["train_step"].training and model.training
    x, t = ig.randn(8, 4), ig.randint(0, 3, (8,))
    first = program.eval(x, t)
    assert 0 <= first["accuracy"].item() <= 1
    for _ in range(5):
        program.train_step(x, t)
    assert program.eval(x, t)["loss"].item() < first["loss"].item()
    with pytest.raises(ig.ArgumentError, match="targets"):
        ig.program(model, inputs=ig.spec((n, 4)), loss=F.cross_entropy)
