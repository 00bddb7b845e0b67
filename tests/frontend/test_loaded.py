"""`nn.Loaded`: a saved file as a module: equal bits, frozen and trained, in new programs."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.nn import Loaded

N = ig.Dim("n", min=1, max=64)


def backbone() -> nn.Module:
    ig.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two forward functions, a loss of two arguments, and a training step."""
    model = backbone()
    program = ig.trace(model.eval(), ig.spec((N, 3)))
    program.trace("both", lambda batch: {"y": model(batch["x"]) + batch["z"]},
                  {"x": ig.spec((N, 3)), "z": ig.spec((N, 4))})  # fmt: skip
    model.train()
    program.trace("noisy", model, ig.spec((N, 3)))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    program.trace("train_step", step, ig.spec((N, 3)))
    path = tmp_path_factory.mktemp("loaded") / "net.ig"
    program.save(path)
    return path


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


def plain(tensor: ig.Tensor) -> Any:
    return tensor.detach().numpy()


def test_it_has_the_models_names_values_and_bits(saved: Path, monkeypatch: Any) -> None:
    model, loaded = backbone(), Loaded(saved)
    assert set(loaded.state_dict()) == set(model.state_dict())
    model.load_state_dict(loaded.state_dict())
    loaded.load_state_dict(model.state_dict())
    x = ig.randn(5, 3)
    expected = ig.load(saved)(x.numpy())
    assert same(plain(loaded(x)), expected)
    assert same(plain(loaded(x.numpy())), expected)
    (name,) = ig.load(saved).forward.parameters
    assert same(plain(loaded(**{name: x})), expected)
    assert same(plain(model.eval()(x)), expected)
    monkeypatch.setenv("INTAGLIO_EAGER", "1")
    assert same(plain(loaded(x)), expected)
    assert loaded.functions == ("forward", "both", "noisy", "train_step")
    assert "forward; functions: forward, both" in repr(loaded)


def test_derivatives_are_those_of_the_model(saved: Path) -> None:
    model, loaded = backbone().eval(), Loaded(saved)
    x = ig.randn(6, 3)
    made = []
    for module in (model, loaded):
        leaf = x.clone().requires_grad_()
        module(leaf).square().sum().backward()
        made.append([plain(leaf.grad), *(plain(p.grad) for p in module.parameters())])
    assert all(same(a, b) for a, b in zip(*made, strict=True))

    def penalty(module: nn.Module) -> Any:
        leaf = x.clone().requires_grad_()
        (slope,) = ig.autograd.grad(module(leaf).square().sum(), leaf, create_graph=True)
        (second,) = ig.autograd.grad(slope.square().sum(), leaf)
        return plain(second)

    np.testing.assert_allclose(penalty(loaded), penalty(model), rtol=1e-5)


def test_draws_and_statistics_are_those_of_the_model(saved: Path) -> None:
    model, loaded = backbone(), Loaded(saved, training_function="noisy")
    x = ig.randn(6, 3)
    made = []
    for module in (model, loaded):
        ig.manual_seed(7)
        results = [plain(module(x)), plain(module(x))]
        made.append([*results, ig.rand(1).item(), *map(plain, module.state_dict().values())])
        module.eval()
    names = list(model.state_dict()), list(loaded.state_dict())
    for a, b in zip(made[0][:3], made[1][:3], strict=True):
        assert same(a, b)
    by_name = dict(zip(names[1], made[1][3:], strict=True))
    assert all(same(a, by_name[n]) for n, a in zip(names[0], made[0][3:], strict=True))
    assert same(plain(loaded(x)), plain(model(x))), "in evaluation mode, forward"


def test_other_functions_share_the_parameters(saved: Path) -> None:
    loaded = Loaded(saved)
    both = loaded.function("both")
    x, z = ig.randn(5, 3), ig.randn(5, 4)
    assert same(plain(both({"x": x, "z": z})["y"]), plain(loaded(x) + z))
    with ig.no_grad():
        loaded.get_parameter("4.bias").add_(1.0)
    assert same(plain(both({"x": x, "z": z})["y"]), plain(loaded(x) + z))
    kept = copy.deepcopy(loaded)
    before = plain(kept(x)).copy()
    with ig.no_grad():
        loaded.get_parameter("4.bias").add_(1.0)
    assert same(plain(kept(x)), before)
    assert not same(plain(loaded(x)), before)
    sent = pickle.loads(pickle.dumps(kept))  # noqa: S301  # our own bytes
    assert same(plain(sent(x)), before)
    assert list(sent.state_dict()) == list(kept.state_dict())


class Transfer(nn.Module):
    """A new head on a frozen file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.backbone = Loaded(path).requires_grad_(False)
        self.head = nn.Linear(4, 2)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return F.softmax(self.head(self.backbone(x)), 1)


def test_a_head_on_a_frozen_file_trains_and_is_saved_as_one_file(
    saved: Path, tmp_path: Path
) -> None:
    net = Transfer(saved)
    optimizer = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    x, t = ig.randn(8, 3), ig.randint(0, 2, (8,))

    def step(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss

    m = ig.Dim("m", min=1, max=32)
    program = ig.trace(net, ig.spec((m, 3)))
    program.trace("train_step", step, ig.spec((m, 3)), ig.spec((m,), ig.int64))
    program.save(tmp_path / "new.ig")
    text = str(program)
    assert "test_loaded.py" in text
    assert "in Sequential.1.batch_norm" in text, "places that the first file tells"
    model = ig.load(tmp_path / "new.ig")
    frozen = {n: plain(p).copy() for n, p in net.backbone.named_parameters()}
    losses = [float(model.train_step(x.numpy(), t.numpy())) for _ in range(3)]
    fast = ig.jit(step)
    assert [losses[0], *losses[1:]] == [step(x, t).item(), fast(x, t).item(), fast(x, t).item()]
    assert losses[2] < losses[0]
    assert all(same(plain(p), frozen[n]) for n, p in net.backbone.named_parameters())
    assert same(plain(net(x)), model(x.numpy()))
    again = Loaded(model)
    assert same(plain(again(x)), model(x.numpy()))
    for rows in (1, 5):
        assert same(plain(again(x[:rows])), model(x[:rows].numpy()))


def test_sizes_of_the_file_bound_those_of_the_new_program(saved: Path) -> None:
    loaded = Loaded(saved)
    wide = ig.Dim("w", min=1, max=500)
    program = ig.trace(loaded, ig.spec((wide, 3)))
    assert program.functions["forward"].parameters == ig.load(saved).forward.parameters
    assert any("<= 64" in str(c) for c in program.ir.functions["forward"].graph.constraints)
    program.run("forward", ig.randn(64, 3))
    with pytest.raises(ig.ShapeError, match="w <= 64"):
        program.run("forward", ig.randn(65, 3))
    whole = ig.trace(lambda x: loaded(x.reshape(-1, 3)), ig.spec((ig.Dim("k", max=4), 6)))
    assert same(whole(ig.ones(2, 6)), plain(loaded(ig.ones(4, 3))))


class Recurrent(nn.Module):
    """Loops, indices, and a size that is data."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 5)
        self.cells = nn.LSTM(5, 4, batch_first=True)
        self.out = nn.Linear(4, 11, bias=False)

    def forward(self, tokens: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        rows, _ = self.cells(self.table(tokens))
        scores = self.out(rows)
        return scores, F.log_softmax(scores, -1).sum() / (tokens.shape[0] * tokens.shape[1])


def test_loops_indices_and_sizes_are_replayed(tmp_path: Path) -> None:
    ig.manual_seed(1)
    model = Recurrent()
    b, length = ig.Dim("b", max=8), ig.Dim("t", max=16)
    ig.trace(model, ig.spec((b, length), ig.int64)).save(tmp_path / "r.ig")
    runtime, loaded = ig.load(tmp_path / "r.ig"), Loaded(tmp_path / "r.ig")
    assert set(loaded.state_dict()) == set(model.state_dict())
    for shape in ((2, 5), (3, 4)):
        tokens = ig.randint(0, 11, shape)
        expected = runtime(tokens.numpy())
        assert all(same(plain(a), e) for a, e in zip(loaded(tokens), expected, strict=True))
    tokens = ig.randint(0, 11, (2, 5))
    for module in (model, loaded):
        module(tokens)[1].backward()
    own = dict(model.named_parameters())
    assert all(same(plain(p.grad), plain(own[n].grad)) for n, p in loaded.named_parameters())
    n = ig.Dim("rows", max=8)
    program = ig.trace(lambda x: loaded(x)[0].argmax(-1), ig.spec((n, 7), ig.int64))
    again = ig.randint(0, 11, (4, 7))
    assert same(program(again), runtime(again.numpy())[0].argmax(-1))
    with pytest.raises(ig.IndexError, match=r"test_loaded\.py"):
        loaded(ig.full((2, 5), 11))


def test_convolutions_and_tied_weights(tmp_path: Path) -> None:
    ig.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten())
    tied = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False))
    tied[1].weight = tied[0].weight
    whole = nn.Sequential(model, tied)
    ig.trace(whole, ig.spec((2, 2, 6, 6))).save(tmp_path / "c.ig")
    loaded, x = Loaded(tmp_path / "c.ig"), ig.randn(2, 2, 6, 6)
    assert same(plain(loaded(x)), ig.load(tmp_path / "c.ig")(x.numpy()))
    assert loaded.get_parameter("1.0.weight") is loaded.get_parameter("1.1.weight")
    assert set(loaded.state_dict()) == set(whole.state_dict())
    assert len(list(loaded.parameters())) == len(list(whole.parameters()))


def test_a_program_need_not_be_saved() -> None:
    model = backbone().eval()
    program = ig.trace(model, ig.spec((N, 3)))
    loaded, x = Loaded(program), ig.randn(3, 3)
    assert same(plain(loaded(x)), plain(model(x)))
    with ig.no_grad():
        model[4].bias.add_(1.0)
    assert not same(plain(loaded(x)), plain(model(x))), "the values are its own"


def test_what_can_not_be_is_refused(saved: Path) -> None:
    loaded = Loaded(saved)

    def refused(kind: type[Exception], said: str, call: Any, *args: Any, **named: Any) -> None:
        with pytest.raises(kind, match=said):
            call(*args, **named)

    refused(ig.Error, r"'train_step' trains.*0.weight \(parameter\)", Loaded, saved, "train_step")
    refused(ig.Error, "trains", Loaded, saved, training_function="train_step")
    refused(ig.Error, "no function 'other'; it has 'forward'", Loaded, saved, "other")
    refused(ig.Error, "no function 'other'", loaded.function, "other")
    refused(ig.Error, "a path, a loaded model or a Program is wanted, not int", Loaded, 3)
    refused(ig.ShapeError, r"f32\[n,3\], but dim 1 must be 3, not 4", loaded, ig.randn(5, 4))
    refused(ig.ShapeError, "n = 65 is not within 1 to 64", loaded, ig.randn(65, 3))
    refused(ig.DTypeError, "its dtype is f64", loaded, ig.randn(5, 3, dtype=ig.float64))
    refused(ig.Error, "takes 1 arguments, and got 2", loaded, ig.randn(5, 3), 1)
    refused(ig.Error, "lacks ", loaded)
    refused(ig.Error, "does not know the argument 'y'", loaded, y=ig.randn(5, 3))
    refused(ig.Error, "a part of a loaded model", loaded.get_submodule("0"), ig.randn(5, 3))
    refused(ig.Error, r"is f64\[8,3\], and the file's function takes f32",
            Loaded(saved).double(), ig.randn(5, 3))  # fmt: skip
    wide = ig.spec((ig.Dim("w", min=100, max=500), 3))
    refused(ig.ShapeError, "100 <= |<= 64 does not hold", lambda: ig.trace(loaded, wide))
    refused(ig.DTypeError, r"must be f32\[n,3\], and is f64",
            lambda: ig.trace(loaded, ig.spec((ig.Dim("w"), 3), ig.float64)))  # fmt: skip
