"""Layers beside their definitions: transformers, softmax in clusters; dicts of parameters."""

import copy
import pickle

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

RNG = np.random.default_rng(7)


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-9)


def test_parameter_dict():
    assert list(nn.ParameterDict({"b": ig.ones(2), "a": ig.ones(1)})) == ["a", "b"]  # as in torch
    held = nn.ParameterDict([("b", ig.ones(2)), ("a", nn.Parameter(ig.zeros(3)))])
    assert list(held) == ["b", "a"] and len(held) == 2 and "a" in held and "c" not in held
    assert [n for n, _ in held.named_parameters()] == ["b", "a"]
    assert isinstance(held["b"], nn.Parameter) and held.b is held["b"]
    held.update([("c", ig.ones(1))])
    first = held.setdefault("c", ig.zeros(1))
    assert first is held["c"] and held.get("d") is None and list(reversed(held)) == ["c", "a", "b"]
    more = held | {"d": ig.ones(4)}
    assert list(more) == ["b", "a", "c", "d"] and more["a"] is held["a"] and len(held) == 3
    assert more.popitem()[0] == "d" and more.pop("b") is held["b"]
    assert list(more.state_dict()) == ["a", "c"]
    assert "items" not in held
    held["items"] = ig.ones(1)
    assert "items" in dict(held.items())
    held |= {"e": ig.ones(1)}
    del held["b"]
    assert list(held.keys()) == ["a", "c", "items", "e"]
    assert list(held.fromkeys("xy", ig.ones(1))) == ["x", "y"]
    held.clear()
    assert not len(held)
    with pytest.raises(KeyError, match="dots"):
        held["a.b"] = ig.ones(1)


def test_buffers_register_themselves():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = nn.Buffer(ig.zeros(2))
            self.scratch = nn.Buffer(ig.ones(1), persistent=False)

        def forward(self, x):
            self.count += 1
            return x + self.count

    model = Counter()
    assert list(model.state_dict()) == ["count"]
    assert [n for n, _ in model.named_buffers()] == ["count", "scratch"]
    step = ig.jit(model)
    assert step(ig.zeros(2)).tolist() == [1, 1] and step(ig.zeros(2)).tolist() == [2, 2]
    assert model.count.tolist() == [2, 2] and not model.count.requires_grad
    copied = copy.deepcopy(model)
    sent = pickle.loads(pickle.dumps(model.scratch))  # noqa: S301  # its own bytes
    assert copied.count.tolist() == [2, 2] and copied.count is not model.count
    assert copied.count.persistent and not copied.scratch.persistent
    assert isinstance(sent, nn.Buffer) and not sent.persistent and sent.tolist() == [1]
    with pytest.raises(ig.Error, match="__init__"):
        type("Early", (nn.Module,), {"__init__": lambda self: setattr(self, "x", nn.Buffer())})()


def test_what_is_replaced_keeps_its_place():
    model = nn.Module()
    for name in ("a", "b", "c"):
        setattr(model, f"{name}_weight", nn.Parameter(ig.ones(2)))
        setattr(model, f"{name}_buffer", nn.Buffer(ig.ones(2)))
        setattr(model, f"{name}_module", nn.Identity())
    before = list(model.state_dict()), [name for name, _ in model.named_children()]
    model.a_weight = nn.Parameter(ig.zeros(2))
    model.a_buffer += 1
    model.b_buffer = nn.Buffer(ig.zeros(2))
    model.register_buffer("a_buffer", ig.zeros(3))
    model.a_module = nn.ReLU()
    assert (list(model.state_dict()), [n for n, _ in model.named_children()]) == before
    model.b_weight = nn.Buffer(ig.zeros(2))
    assert list(model._parameters) == ["a_weight", "c_weight"]
    assert list(model.state_dict())[-1] == "b_weight"


def test_transformer_is_encoder_then_decoder():
    model = nn.Transformer(8, 2, 2, 2, 16, 0.0, batch_first=True).double()
    src, tgt = (ig.tensor(RNG.standard_normal(s)) for s in ((3, 5, 8), (3, 4, 8)))
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=ig.float64)
    assert mask.numpy()[0, 1] == -np.inf and not np.tril(mask.numpy()).any()
    made = model(src, tgt, tgt_mask=mask, tgt_is_causal=True)
    close(made, model.decoder(tgt, model.encoder(src), tgt_mask=mask))
    changed = tgt.clone()
    changed[:, 2:] += 1.0
    close(model(src, changed, tgt_mask=mask)[:, :2], made[:, :2])
    compiled = ig.jit(model)(src, tgt, tgt_mask=mask, tgt_is_causal=True)
    assert np.array_equal(compiled.detach().numpy(), made.detach().numpy())
    close(model(src[0], tgt[0]), model(src, tgt)[0])
    with pytest.raises(ig.ShapeError, match="3 and 2 differ"):
        model(src, tgt[:2])
    with pytest.raises(ig.ShapeError, match="d_model, 8"):
        model(src[..., :6], tgt)


def test_softmax_in_clusters():
    model = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, head_bias=True).double()
    x = ig.tensor(RNG.standard_normal((6, 8)))
    target = ig.tensor([0, 2, 3, 6, 7, 11])
    everything = model.log_prob(x)
    np.testing.assert_allclose(everything.exp().sum(1).detach().numpy(), 1.0, rtol=1e-12)
    output, loss = model(x, target)
    close(output, everything[ig.arange(6), target])
    close(loss, F.nll_loss(everything, target))
    head = F.log_softmax(model.head(x), 1)
    close(everything[:, :3], head[:, :3])
    close(everything[:, 3:7], head[:, 3:4] + F.log_softmax(model.tail[0](x), 1))
    single = model(x[4], target[4])
    close(single.output, output[4])
    assert ig.jit(model)(x, target).loss.item() == loss.item()
    with pytest.raises(ig.IndexError, match="0 to 11"):
        model(x, target + 1)
    for cutoffs in ([], [4, 4], [5, 3], [12], [0, 3], [1.5]):
        with pytest.raises(ig.ArgumentError, match="cutoffs"):
            nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)


def test_older_names():
    x = ig.tensor(RNG.standard_normal((2, 5, 4, 3)))
    target = ig.tensor(RNG.integers(0, 5, (2, 4, 3)))
    close(nn.NLLLoss2d()(x, target), F.nll_loss(x, target))
    assert issubclass(nn.LSTM, nn.RNNBase) and issubclass(nn.GRUCell, nn.RNNCellBase)
