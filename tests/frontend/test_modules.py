"""Modules: hooks, state dicts, conversions; in traces too."""

import copy
import pickle

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


def network():
    ig.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


# ------------------------------------------------------------------------------------------- hooks


def test_forward_hooks_with_their_options():
    seen = []
    model = nn.Linear(3, 2, bias=False)
    model.register_forward_pre_hook(lambda m, x: seen.append("second"))
    model.register_forward_pre_hook(lambda m, x: (x[0] * 2,), prepend=True)
    model.register_forward_hook(lambda m, x, k, y: seen.append((len(x), dict(k))), with_kwargs=True)
    handle = model.register_forward_hook(lambda m, x, y: y + 1)
    x = ig.tensor(X)
    np.testing.assert_array_equal(
        model(x).detach().numpy(), ((x * 2) @ model.weight.T + 1).detach().numpy()
    )
    assert seen == ["second", (1, {})]
    handle.remove()
    np.testing.assert_array_equal(
        model(x).detach().numpy(), ((x * 2) @ model.weight.T).detach().numpy()
    )


class Scaled(nn.Module):
    def forward(self, x, scale=1.0):
        if scale is None:
            raise ValueError("no scale")
        return x * scale


def test_keywords_may_be_replaced_and_hooks_may_always_run():
    model, seen = Scaled(), []
    model.register_forward_pre_hook(lambda m, x, k: (x, {"scale": 3.0}), with_kwargs=True)
    assert model(ig.ones(2), scale=2.0).tolist() == [3.0, 3.0]
    model = Scaled()
    model.register_forward_hook(lambda m, x, y: seen.append(y), always_call=True)
    with pytest.raises(ValueError, match="no scale"):
        model(ig.ones(2), scale=None)
    assert seen == [None]
    model.register_forward_pre_hook(lambda m, x, k: 5, with_kwargs=True)
    with pytest.raises(ig.Error, match="pre-hook with keywords"):
        model(ig.ones(2))


def test_backward_hooks_see_and_replace_derivatives():
    model, seen = network(), []
    inner = model[2]
    inner.register_full_backward_pre_hook(lambda m, dy: seen.append(("before", dy[0].tolist())))
    inner.register_full_backward_hook(lambda m, dx, dy: (dx[0] * 2,))
    first = model[0].register_full_backward_hook(lambda m, dx, dy: seen.append((dx, dy[0].shape)))
    x = ig.tensor(X)
    model(x).sum().backward()
    doubled = model[0].weight.grad.numpy()
    assert seen[0] == ("before", [[1.0, 1.0]] * 5)
    assert seen[1] == ((None,), (5, 4))
    first.remove()
    plain = network()
    plain(x).sum().backward()
    np.testing.assert_allclose(doubled, plain[0].weight.grad.numpy() * 2, rtol=1e-6)
    np.testing.assert_array_equal(inner.weight.grad.numpy(), plain[2].weight.grad.numpy())
    inner.register_full_backward_hook(lambda m, dx, dy: (dx[0], dx[0]))
    with pytest.raises(ig.ArgumentError, match="2 derivatives for 1"):
        model(x).sum().backward()


def hooked_step(model):
    model[2].register_full_backward_hook(lambda m, dx, dy: (dx[0] * 0.5,))
    model[0].register_forward_hook(lambda m, x, y: y + 1.0)

    def step(x):
        for p in model.parameters():
            p.grad = None
        loss = model(x).square().sum()
        loss.backward()
        return [p.grad for p in model.parameters()]

    return step


def test_hooks_have_equal_bits_in_traces(tmp_path):
    eager = hooked_step(network())(ig.tensor(X))
    compiled = ig.jit(hooked_step(network()))(ig.tensor(X))
    program = ig.trace(hooked_step(network()), ig.tensor(X))
    program.save(tmp_path / "hooked.ig")
    loaded = ig.load(str(tmp_path / "hooked.ig"))(X)
    for a, b, c in zip(eager, compiled, loaded, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c)


def test_a_new_hook_compiles_anew():
    model = nn.Linear(3, 2)
    fast = ig.jit(model)
    before = fast(ig.tensor(X))
    handle = model.register_forward_hook(lambda m, x, y: y * 2)
    np.testing.assert_array_equal(fast(ig.tensor(X)).detach(), (before * 2).detach())
    assert "_hook_changes" in fast.explain()
    handle.remove()
    np.testing.assert_array_equal(fast(ig.tensor(X)).detach(), before.detach())


def test_hooks_of_all_modules():
    seen = []
    handles = [
        nn.register_module_forward_pre_hook(lambda m, x: seen.append(type(m).__name__)),
        nn.register_module_forward_hook(lambda m, x, y: seen.append("after")),
        nn.register_module_full_backward_hook(lambda m, dx, dy: seen.append("back")),
    ]
    nn.Linear(3, 2)(ig.tensor(X)).sum().backward()
    for handle in handles:
        handle.remove()
    nn.Linear(3, 2)(ig.tensor(X))
    assert seen == ["Linear", "after", "back"]


# ------------------------------------------------------------------------------------------- state


def test_state_dict_options_and_hooks():
    model = network()
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    kept = model.state_dict(prefix="net.", keep_vars=True)
    assert kept["net.0.weight"] is model[0].weight
    assert not model.state_dict()["0.weight"].requires_grad
    into = {"other": 1}
    assert model.state_dict(destination=into) is into and len(into) == 5
    assert model.state_dict()._metadata[""] == {"version": 1}
    model.register_state_dict_post_hook(lambda m, d, prefix, about: d.pop("0.bias"))
    model.register_state_dict_pre_hook(lambda m, prefix, keep: into.clear())
    assert list(model.state_dict()) == ["0.weight", "2.weight", "2.bias"] and not into


def test_a_load_that_is_refused_says_all_and_changes_nothing():
    model = network()
    given = {k: v.clone() + 1 for k, v in model.state_dict().items()}
    before = [p.tolist() for p in model.parameters()]
    del given["0.bias"]
    given |= {"2.bias": ig.zeros(3), "extra": ig.zeros(1), "2.more.deep": ig.zeros(1)}
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(given)
    text = str(caught.value)
    assert 'Missing key(s) in state_dict: "0.bias"' in text
    assert 'Unexpected key(s) in state_dict: "extra", "2.more.deep"' in text
    assert "size mismatch for 2.bias" in text and "(3,)" in text and "(2,)" in text
    assert [p.tolist() for p in model.parameters()] == before
    with pytest.raises(TypeError, match="list"):
        model.load_state_dict([1])
    given["2.bias"] = np.ones(2, np.float32)
    keys = model.load_state_dict(given, strict=False)
    assert keys.missing_keys == ["0.bias"] and keys.unexpected_keys == ["extra", "2.more.deep"]
    assert model[2].bias.tolist() == [1.0, 1.0]
    assert "matched" in repr(model.load_state_dict(model.state_dict()))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.count = nn.Linear(2, 2), 0

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


class Renamed(nn.Linear):
    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if prefix + "w" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
        super()._load_from_state_dict(state_dict, prefix, *rest)


def test_what_is_beside_tensors_and_loading_in_ones_own_way():
    one, other = Counting(), Counting()
    one.count = 5
    other.load_state_dict(one.state_dict())
    assert other.count == 5 and "_extra_state" in one.state_dict()
    with pytest.raises(ig.Error, match='Missing.*"_extra_state"'):
        other.load_state_dict({k: v for k, v in one.state_dict().items() if k[0] != "_"})
    model = nn.Sequential(Renamed(2, 2), nn.Linear(2, 1))
    model.load_state_dict({"0.w": ig.ones(2, 2), "0.bias": ig.ones(2), "1.weight": ig.ones(1, 2),
                           "1.bias": ig.ones(1)})  # fmt: skip
    assert model[0].weight.tolist() == [[1.0, 1.0]] * 2
    with pytest.raises(ig.Error, match="size mismatch"):
        model.load_state_dict({"0.w": ig.zeros(2, 2), "0.bias": ig.zeros(2),
                               "1.weight": ig.zeros(1, 2), "1.bias": ig.zeros(4)})  # fmt: skip
    assert model[0].weight.tolist() == [[1.0, 1.0]] * 2


def test_hooks_around_loading():
    model = nn.Sequential(nn.Linear(2, 1))

    def before(module, state_dict, prefix, *rest):
        assert module is model[0] and prefix == "0."
        state_dict["0.weight"] = state_dict.pop("0.kernel")

    model[0].register_load_state_dict_pre_hook(before)
    model.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    given = {"0.kernel": ig.ones(1, 2)}
    model.load_state_dict(given)
    assert model[0].weight.tolist() == [[1.0, 1.0]] and list(given) == ["0.kernel"]


def test_assign_takes_the_tensors_themselves():
    model = network()
    given = {k: v.to(ig.float64) for k, v in model.state_dict().items()}
    model[0].weight.requires_grad_(False)
    model.load_state_dict(given, assign=True)
    assert model[0].weight.dtype is ig.float64 and isinstance(model[0].weight, nn.Parameter)
    assert not model[0].weight.requires_grad and model[0].bias.requires_grad
    given["0.bias"].fill_(7.0)
    assert model[0].bias.tolist() == [7.0] * 4


# -------------------------------------------------------------------------------------- the rest


def test_conversions():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert model.half()[0].weight.dtype is ig.float16
    assert model.bfloat16()[0].weight.dtype is ig.bfloat16
    assert model[1].num_batches_tracked.dtype is ig.int64
    assert model.type(ig.float64)[1].num_batches_tracked.dtype is ig.float64
    assert tuple(model.to_empty(device="cpu")[0].weight.shape) == (2, 2)
    assert model.float().share_memory()[0].weight.is_shared()


def test_copies_are_apart():
    model = network()
    model.register_forward_hook(lambda m, x, y: y * 2)
    other = copy.deepcopy(model)
    x = ig.tensor(X)
    np.testing.assert_array_equal(model(x).detach(), other(x).detach())
    with ig.no_grad():
        other[0].weight.zero_()
    assert model[0].weight.abs().sum().item() > 0
    again = pickle.loads(pickle.dumps(network()))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(again(x).detach(), network()(x).detach())


def test_compiled_in_place():
    model = network()
    x, before = ig.tensor(X), network()(ig.tensor(X))
    model.compile()
    np.testing.assert_array_equal(model(x).detach(), before.detach())
    assert list(model.state_dict()) == list(network().state_dict())
    np.testing.assert_array_equal(copy.deepcopy(model)(x).detach(), before.detach())


def test_submodules_and_arguments_are_checked():
    model = network()
    model.set_submodule("1", nn.Tanh())
    assert isinstance(model[1], nn.Tanh)
    with pytest.raises(AttributeError, match="no child 'x'"):
        model.set_submodule("x", nn.Tanh(), strict=True)
    with pytest.raises(TypeError, match="Parameter"):
        model.register_parameter("p", ig.ones(2))
    with pytest.raises(TypeError, match="Module"):
        model.register_module("m", 5)
    with pytest.raises(TypeError, match="Tensor"):
        model.register_buffer("b", 5)
    with pytest.raises(ig.ArgumentError, match="mode"):
        model.train("yes")
    with pytest.raises(TypeError, match="no arguments"):
        nn.Module(3)


def test_common_private_names_are_free_for_models():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def _forget(self, x: ig.Tensor) -> ig.Tensor:
            return x * 2

        _call = _replace = _load = _assign = _apply_to = _forget

        def forward(self, x: ig.Tensor) -> ig.Tensor:
            return self._forget(self.linear(x))

    one, other = Gate(), Gate()
    one.linear = nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    x = ig.randn(3, 2)
    assert (one(x) == other(x)).all()


def test_what_was_assigned_is_put_back_when_a_hook_refuses():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    held = [*model.parameters(), *model.buffers()]

    def refuse(module, keys):
        raise ValueError("late")

    model[1].register_load_state_dict_post_hook(refuse)
    state = {name: ig.ones_like(t) for name, t in model.state_dict().items()}
    with pytest.raises(ValueError, match="late"):
        model.load_state_dict(state, assign=True)
    now = [*model.parameters(), *model.buffers()]
    assert all(a is b for a, b in zip(held, now, strict=True))
