"""Groups, hooks, state and pure forms of the optimizers, without another library."""

import copy
import pickle

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from intaglio.optim import functional

OPTIONS = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adagrad": {"initial_accumulator_value": 0.1},
    "Adadelta": {},
    "Adafactor": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Rprop": {},
    "ASGD": {"t0": 2},
    "Lion": {"weight_decay": 0.1},
    "Muon": {},
}


@pytest.fixture(autouse=True)
def eagerly(monkeypatch):
    monkeypatch.setenv("INTAGLIO_EAGER", "1")


def parameters(seed=0, shapes=((4, 3), (2, 5), (3, 3))):
    rng = np.random.default_rng(seed)
    return [ig.tensor(rng.standard_normal(s), dtype=ig.float32).requires_grad_() for s in shapes]


def steps(ps, opt, first, last):
    for k in range(first, last):
        rng = np.random.default_rng(k)
        for n, p in enumerate(ps):
            g = ig.tensor(rng.standard_normal(p.shape), dtype=ig.float32)
            p.grad = None if n == 1 and k % 2 else g
        opt.step()


def same(ones, twos):
    for a, b in zip(ones, twos, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def pickled(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # written the moment before


def copied(ps):
    return [p.detach().clone().requires_grad_() for p in ps]


@pytest.mark.parametrize("name", OPTIONS)
def test_resumed_equals_unbroken(name):
    """Through a state dict, a pickle of it, and a copy of the optimizer."""
    ps = parameters()
    opt = getattr(optim, name)(ps, **OPTIONS[name])
    steps(ps, opt, 0, 3)
    saved = pickled(opt.state_dict())
    others = copied(ps)
    fresh = getattr(optim, name)(others)
    fresh.load_state_dict(saved)
    thirds, twin = copy.deepcopy((ps, opt))
    assert twin.param_groups[0]["params"][0] is thirds[0]
    steps(ps, opt, 3, 6)
    steps(others, fresh, 3, 6)
    steps(thirds, twin, 3, 6)
    same(ps, others)
    same(ps, thirds)
    one, two = opt.state_dict(), fresh.state_dict()
    assert one["param_groups"] == two["param_groups"]
    for number, values in one["state"].items():
        same(values.values(), [two["state"][number][key] for key in values])


@pytest.mark.parametrize("name", OPTIONS)
def test_pure_form_has_the_same_bits(name):
    ps = parameters()
    opt, pure = getattr(optim, name)(ps, **OPTIONS[name]), getattr(functional, name)
    pure = pure(**OPTIONS[name])
    nest = {"a": ps[0].detach().clone(), "b": [ps[1].detach().clone(), ps[2].detach().clone()]}
    state = pure.init(nest)
    for k in range(3):
        steps(ps, opt, k, k + 1)
        grads = {"a": ps[0].grad, "b": [ps[1].grad, ps[2].grad]}
        nest, state = pure.update(nest, grads, state)
    same(ps, [nest["a"], *nest["b"]])
    for p, own in zip(ps, [state["a"], *state["b"]], strict=True):
        same(opt.state[p].values(), [own[key] for key in opt.state[p]])
    assert [float(s["step"]) for s in (state["a"], *state["b"])] == [3, 2, 3]


def test_pure_form_under_transforms(monkeypatch):
    """Differentiated by the learning rate and compiled, with other numbers for one step."""
    monkeypatch.delenv("INTAGLIO_EAGER")
    adam = functional.Adam(lr=0.1)
    p, g = ig.tensor([1.0, 2.0], dtype=ig.float64), ig.tensor([0.5, -1.0], dtype=ig.float64)

    def after(lr):
        return adam.update([p], [g], adam.init([p]), {"lr": lr})[0][0].sum()

    lr = ig.tensor(0.3, dtype=ig.float64)
    slope = (after(lr + 1e-6) - after(lr - 1e-6)) / 2e-6
    assert abs(float(ig.func.grad(after)(lr)) - float(slope)) < 1e-6
    assert float(ig.jit(after)(lr)) == float(after(lr))
    decayed = functional.AdamW(weight_decay=0.0).update([p], [g], adam.init([p]))
    other = functional.AdamW(weight_decay=0.0).update(
        [p], [g], adam.init([p]), {"weight_decay": 0.5, "betas": (0.9, 0.999)}
    )
    assert float((decayed[0][0] - other[0][0]).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: functional.Adam().update([ig.ones(2)], [], [{}]), "length"),
        (lambda: functional.Adam().update({"a": ig.ones(2)}, {"b": 1}, {}), "keys"),
        (lambda: functional.Adam().init([1.0]), "must be tensors"),
        (lambda: functional.Functional(optim.LBFGS), "no formula"),
        (
            lambda: functional.SGD().update(
                [ig.ones(2)], [ig.ones(2)], functional.SGD().init([ig.ones(2)]), {"no": 1.0}
            ),
            "'no'",
        ),
        (
            lambda: functional.SGD().update(
                [ig.ones(2)], [ig.ones(3)], functional.SGD().init([ig.ones(2)])
            ),
            "gradient",
        ),
    ],
)
def test_pure_form_refuses(call, text):
    with pytest.raises(ig.Error, match=text):
        call()


def test_lion_is_the_papers():
    rng = np.random.default_rng(5)
    p = rng.standard_normal((3, 4))
    mine = ig.tensor(p).requires_grad_()
    opt = optim.Lion([mine], lr=0.01, betas=(0.8, 0.95), weight_decay=0.3)
    mean = np.zeros_like(p)
    for _ in range(50):
        g = rng.standard_normal(p.shape)
        mine.grad = ig.tensor(g)
        opt.step()
        p = p * (1 - 0.01 * 0.3) - 0.01 * np.sign(0.8 * mean + 0.2 * g)
        mean = 0.95 * mean + 0.05 * g
    np.testing.assert_allclose(mine.detach().numpy(), p, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (4, 4)])
def test_muon_is_the_formula_in_doubles(shape):
    rng = np.random.default_rng(6)
    p, mean = rng.standard_normal(shape), np.zeros(shape)
    mine = ig.tensor(p).requires_grad_()
    opt = optim.Muon([mine], lr=0.02, ns_dtype=ig.float64)
    for _ in range(20):
        g = rng.standard_normal(shape)
        mine.grad = ig.tensor(g)
        opt.step()
        mean = 0.95 * mean + 0.05 * g
        x = 0.05 * g + 0.95 * mean
        x = x.T if shape[0] > shape[1] else x
        x = x / max(np.linalg.norm(x), 1e-7)
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
        x = x.T if shape[0] > shape[1] else x
        p = p * (1 - 0.02 * 0.1) - 0.02 * max(1, shape[0] / shape[1]) ** 0.5 * x
    np.testing.assert_allclose(mine.detach().numpy(), p, rtol=1e-9, atol=1e-9)


def rosenbrock(p):
    return 100 * (p[1] - p[0] * p[0]) ** 2 + (1 - p[0]) ** 2


def test_lbfgs_minimizes_and_resumes():
    def run(opt, p, count):
        def closure():
            opt.zero_grad()
            loss = rosenbrock(p)
            loss.backward()
            return loss

        return [float(opt.step(closure)) for _ in range(count)]

    p = ig.tensor([-1.2, 1.0], dtype=ig.float64).requires_grad_()
    opt = optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=5)
    assert run(opt, p, 3)[-1] < 5.0
    q = p.detach().clone().requires_grad_()
    other = optim.LBFGS([q], line_search_fn="strong_wolfe")
    other.load_state_dict(pickled(opt.state_dict()))
    assert run(opt, p, 12) == run(other, q, 12)
    np.testing.assert_allclose(p.detach().numpy(), [1.0, 1.0], atol=1e-3)
    opt.reset()
    assert opt.state_dict()["state"] == {}


def test_lbfgs_refuses():
    p = ig.zeros(2).requires_grad_()
    with pytest.raises(ig.ArgumentError, match="closure"):
        optim.LBFGS([p]).step()
    with pytest.raises(ig.ArgumentError, match="one group"):
        optim.LBFGS([{"params": [p]}, {"params": [ig.ones(1).requires_grad_()]}])
    with pytest.raises(ig.ArgumentError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="armijo")
    opt = optim.LBFGS([p])
    with pytest.raises(ig.TraceError, match="depends on its values"):
        ig.trace(lambda: opt.step(lambda: (p * p).sum()), name="step")


def test_sparse_adam_and_muons_vectors_are_refused():
    with pytest.raises(ig.ArgumentError, match="SparseAdam: there are no sparse gradients"):
        optim.SparseAdam(parameters())
    with pytest.raises(ig.ShapeError, match="must be a matrix"):
        optim.Muon([ig.zeros(3).requires_grad_()])


def test_named_parameters():
    model = nn.Linear(2, 3)
    opt = optim.Adam(model.named_parameters())
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ig.ArgumentError, match="have names"):
        opt.add_param_group({"params": [ig.zeros(2).requires_grad_()]})
    opt.add_param_group({"params": [("c", ig.zeros(2).requires_grad_())], "lr": 0.5})
    assert [g["param_names"] for g in opt.param_groups] == [["weight", "bias"], ["c"]]
    with pytest.raises(ig.ArgumentError, match="all parameters have names"):
        optim.Adam([("a", ig.zeros(2)), ig.zeros(2)])


def test_what_is_given_is_checked():
    p = ig.zeros(2).requires_grad_()
    with pytest.raises(ig.ArgumentError, match="given twice"):
        optim.SGD([p, p])
    with pytest.raises(TypeError, match="set"):
        optim.SGD([{"params": {p}}])
    with pytest.raises(TypeError, match="one tensor"):
        optim.SGD(p)
    with pytest.raises(TypeError, match="must be a dict"):
        optim.SGD([p]).add_param_group([p])
    with pytest.raises(ig.ArgumentError, match="not a leaf"):
        optim.SGD([p * 2])
    with pytest.raises(ig.ArgumentError, match="one number"):
        optim.Adam([p], lr=ig.ones(2))
    with pytest.raises(ig.ArgumentError, match="fused and foreach"):
        optim.Adam([p], fused=True, foreach=True)
    assert optim.Adam([p], lr=np.float32(0.25)).param_groups[0].numbers()["lr"].item() == 0.25
    assert optim.Adam([p], lr=ig.tensor(0.25), foreach=True).param_groups[0]["lr"] == 0.25


def test_a_state_that_does_not_fit_changes_nothing():
    ps = parameters()
    opt = optim.Adam(ps)
    steps(ps, opt, 0, 2)
    before = [t.numpy().copy() for _, t, _ in opt.named_state()]
    saved = pickled(opt.state_dict())
    saved["param_groups"][0]["lr"] = 7.0
    saved["state"][2]["exp_avg"] = ig.zeros(3, 4)
    with pytest.raises(ig.ArgumentError, match=r"exp_avg of parameter 2 has the shape \(3, 4\)"):
        opt.load_state_dict(saved)
    saved = pickled(optim.Adam(ps, amsgrad=True).state_dict())
    saved["state"] = {0: {"step": 1.0, "max_exp_avg_sq": ig.zeros(1)}}
    with pytest.raises(ig.ArgumentError, match="max_exp_avg_sq of parameter 0"):
        opt.load_state_dict(saved)
    with pytest.raises(ig.ArgumentError, match="no 'state'"):
        opt.load_state_dict({"param_groups": []})
    with pytest.raises(ig.ArgumentError, match="do not fit"):
        optim.Adam(ps[:1]).load_state_dict(saved)
    assert opt.param_groups[0]["amsgrad"] is False
    for a, (_, b, _) in zip(before, opt.named_state(), strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_hooks():
    ps = parameters()
    opt = optim.SGD(ps, lr=0.1)
    seen = []
    handles = [
        opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("before")),
        opt.register_step_post_hook(lambda o, args, kwargs: seen.append("after")),
        optim.optimizer.register_optimizer_step_pre_hook(lambda o, a, k: seen.append("every")),
        opt.register_state_dict_pre_hook(lambda o: seen.append("save")),
        opt.register_state_dict_post_hook(lambda o, d: {**d, "more": 1}),
        opt.register_load_state_dict_pre_hook(lambda o, d: seen.append(d["more"])),
        opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded")),
        opt.register_load_state_dict_post_hook(lambda o: seen.append("first"), prepend=True),
    ]
    opt.step()
    opt.load_state_dict(opt.state_dict())
    assert seen == ["every", "before", "after", "save", 1, "first", "loaded"]
    for handle in handles:
        handle.remove()
    opt.step()
    opt.state_dict()
    assert len(seen) == 7
    opt.register_step_pre_hook(lambda o, a, k: 1)
    with pytest.raises(ig.ArgumentError, match="pre hook"):
        opt.step()


class Written(optim.Optimizer):
    """An optimizer as one writes it for torch."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @ig.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"], state["total"] = 0, ig.zeros_like(p)
                state["step"] += 1
                state["total"].add_(p.grad)
                p.add_(state["total"], alpha=-group["lr"])


def test_an_optimizer_written_as_for_torch():
    ps, seen = parameters(shapes=[(2,)]), []
    opt = Written(ps)
    opt.register_step_post_hook(lambda o, a, k: seen.append(1))
    steps(ps, opt, 0, 2)
    saved = opt.state_dict()
    assert saved["state"][0]["step"] == 2 and seen == [1, 1]
    others = copied(ps)
    fresh = Written(others)
    fresh.load_state_dict(saved)
    steps(ps, opt, 2, 4)
    steps(others, fresh, 2, 4)
    same(ps, others)
    assert fresh.state[others[0]]["step"] == 4


def test_groups_read_as_dicts():
    opt = optim.Adam(parameters(), lr=0.25)
    group = opt.param_groups[0]
    group["lr"] *= 2
    assert dict(group)["lr"] == {**group}["lr"] == group.copy()["lr"] == group.get("lr") == 0.5
    assert group.setdefault("initial_lr", 0.5) == 0.5 and group.pop("initial_lr") == 0.5
    assert group.pop("missing", None) is None and group.get("missing") is None
    group.update(lr=1.0, note=[1, 2])
    assert group["lr"] == 1.0 and group["note"] == (1.0, 2.0)
    assert "lr: 1.0" in repr(opt)


def test_numbers_reach_compiled_steps_and_flags_retrace(monkeypatch):
    monkeypatch.delenv("INTAGLIO_EAGER")
    p = ig.ones(2).requires_grad_()
    opt = optim.SGD([p], lr=0.5)

    @ig.jit
    def step():
        p.grad = ig.ones(2)
        opt.step()

    step()
    opt.param_groups[0]["lr"] = 0.25
    step()
    assert p.tolist() == [0.25, 0.25]
    assert "retraced" not in step.explain() and len(step.explain().splitlines()) > 0
    before = step.explain()
    opt.param_groups[0]["maximize"] = True
    step()
    assert p.tolist() == [0.5, 0.5]
    assert "param_groups[0]['maximize'] has changed" in step.explain() != before
    opt.param_groups[0]["momentum"] = 0.5
    opt.param_groups[0]["maximize"] = False
    step()
    step()
    assert p.tolist() == [0.25 - 0.375, 0.25 - 0.375]
    opt.load_state_dict({**opt.state_dict(), "state": {}})
    step()
    assert p.tolist() == [-0.375, -0.375]


def test_a_split_in_a_trace_is_known_to_others(monkeypatch):
    monkeypatch.delenv("INTAGLIO_EAGER")
    a, b = ig.ones(2).requires_grad_(), ig.ones(2).requires_grad_()
    opt = optim.Adam([a, b], lr=0.5)

    def all_of_them():
        a.grad, b.grad = ig.ones(2), ig.ones(2)
        opt.step()
        opt.zero_grad()

    def one_of_them():
        a.grad = ig.ones(2)
        opt.step()
        opt.zero_grad()

    first, second = ig.jit(all_of_them), ig.jit(one_of_them)
    for step in (first, second, second, first, second):
        step()
    state = opt.state_dict()["state"]
    assert [float(state[k]["step"]) for k in range(2)] == [5, 2]


def test_numbers_are_set_in_a_trace(monkeypatch):
    monkeypatch.delenv("INTAGLIO_EAGER")
    p = ig.ones(2).requires_grad_()
    opt = optim.SGD([p], lr=0.5)

    def slower():
        p.grad = ig.ones(2)
        opt.step()
        opt.zero_grad()
        group = opt.param_groups[0]
        group["lr"] = group["lr"] * 0.5

    program = ig.trace(slower, name="slower")
    ig.jit(slower)()
    assert opt.param_groups[0]["lr"] == 0.25
    program.slower()
    assert opt.param_groups[0]["lr"] == 0.125 and p.tolist() == [0.25, 0.25]

    def decay(value):
        opt.param_groups[0]["weight_decay"] = value

    with pytest.raises(ig.TraceError, match="weight_decay was zero"):
        ig.jit(decay)(ig.tensor(0.5))
    with pytest.raises(ig.TraceError, match="is zero"):
        ig.jit(lambda: decay(0.5))()
    opt.param_groups[0]["weight_decay"] = 0.25
    ig.jit(decay)(ig.tensor(0.5))
    assert opt.param_groups[0]["weight_decay"] == 0.5


def test_an_optimizer_is_pickled_with_its_parameters():
    ps = parameters()
    opt = optim.NAdam(ps)
    opt.register_step_pre_hook(lambda o, a, k: None)
    steps(ps, opt, 0, 2)
    twin = pickled(opt)
    others = twin.param_groups[0]["params"]
    steps(ps, opt, 2, 4)
    steps(others, twin, 2, 4)
    same(ps, others)
    twin.param_groups[0]["lr"] = 0.5
    assert opt.param_groups[0]["lr"] == 2e-3
