"""Layers by themselves: containers, layers that learn their sizes, in-place activations,
synchronous norms, refusals."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


def linears(count):
    return [nn.Linear(k + 1, k + 2) for k in range(count)]


def test_sequential_as_a_list():
    one, two, three = linears(3)
    held = nn.Sequential(OrderedDict([("a", one), ("b", two)]))
    assert held[0] is one and held[-1] is two and held.a is one
    part = held[1:]
    assert isinstance(part, nn.Sequential) and list(part.state_dict()) == ["b.weight", "b.bias"]
    held.append(three)
    assert list(held._modules) == ["a", "b", "2"]
    held.insert(1, nn.Tanh())
    assert [*held] == [one, held[1], two, three] and list(held._modules) == ["0", "1", "2", "3"]
    assert held.pop(1).extra_repr() == "" and len(held) == 3
    del held[:2]
    assert [*held] == [three] and list(held._modules) == ["0"]
    held[0] = one
    joined = held + nn.Sequential(two)
    assert [*joined] == [one, two] and [*(2 * joined)] == [one, two] * 2
    joined *= 2
    assert len(joined) == 4
    with pytest.raises(ig.IndexError, match="index 4 is out of range for 4"):
        joined[4]
    with pytest.raises(TypeError, match=r"Sequential takes modules, not builtin_function"):
        nn.Sequential(abs)


def test_module_list_and_dict():
    one, two, three = linears(3)
    held = nn.ModuleList([one])
    held += [two]
    held.insert(0, three)
    assert [*held] == [three, one, two] and [*held[1:]] == [one, two]
    assert held.pop(-1) is two and [*(held + [two])] == [three, one, two]
    with pytest.raises(ig.Error, match="several modules"):
        held.extend(one)
    text = repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()]))
    assert text == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    named = nn.ModuleDict([("a", one), ("b", two)])
    named.update(nn.ModuleDict({"c": three}))
    assert list(named) == ["a", "b", "c"] and named.pop("a") is one
    named.clear()
    assert len(named) == 0
    listed = nn.ParameterList([ig.ones(2)])
    listed += [ig.zeros(1)]
    listed[0] = ig.ones(3)
    assert [p.shape[0] for p in listed] == [3, 1] and len(listed[1:]) == 1
    assert all(isinstance(p, nn.Parameter) for p in listed)


@pytest.mark.parametrize("kind", [nn.SiLU, nn.Mish, nn.Hardswish])
def test_in_place_derivative(kind):
    numbers = np.linspace(-4, 4, 9)
    found = []
    for inplace in (False, True):
        x = ig.tensor(numbers, requires_grad=True)
        given = x * 1.0
        made = kind(inplace=inplace)(given)
        assert (made is given) == inplace
        made.sum().backward()
        found.append((made.detach().numpy(), x.grad.numpy()))
    np.testing.assert_array_equal(found[0], found[1])


def test_layers_learn_their_sizes():
    model = nn.Sequential(
        nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)
    )
    weight = model[0].weight
    assert repr(weight) == "<UninitializedParameter>" and model[3].in_features == 0
    with pytest.raises(ig.Error, match="no shape yet"):
        _ = weight.shape
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))  # noqa: S301  # its own bytes
    x = ig.tensor(np.arange(24.0, dtype=np.float32).reshape(2, 3, 2, 2))
    with pytest.raises(ig.TraceError, match="before it is traced"):
        ig.jit(model)(x)
    made = model(x)
    assert model[0].weight is weight and weight.shape == (4, 3, 3, 3)
    assert [type(m) for m in model] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    model.eval()
    for other in copies:
        assert list(other.state_dict()) == list(model.state_dict())
        other.load_state_dict(other.state_dict())
        other.load_state_dict(model.state_dict())
        assert not other[0].has_uninitialized_params()
        assert bool((other.eval()(x) == model(x)).all())
    assert made.shape == (2, 2)
    with pytest.raises(ig.ArgumentError, match="3 channels are not 2 equal groups"):
        nn.LazyConv2d(4, 3, groups=2)(x)


def test_norm_of_one_process():
    layers = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3, bias=False))
    weight = layers[1].weight
    made = nn.SyncBatchNorm.convert_sync_batchnorm(layers.eval())
    assert made is layers and type(layers[1]) is nn.SyncBatchNorm and layers[1].weight is weight
    assert not layers[1].training and layers[1].bias is None
    wrapped = nn.DataParallel(layers, device_ids=[0])
    x = ig.ones(1, 2, 4)
    np.testing.assert_array_equal(wrapped(x).detach().numpy(), layers(x).detach().numpy())
    assert list(wrapped.state_dict())[0] == "module.0.weight"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Embedding(3, 4, sparse=True), "gradients are dense"),
        (lambda: nn.EmbeddingBag(3, 4, sparse=True), "gradients are dense"),
        (lambda: nn.FractionalMaxPool2d(2), "output_size or output_ratio"),
        (lambda: nn.RNNBase("ELMAN", 3, 4), "mode 'ELMAN' is none of"),
        (lambda: nn.CrossEntropyLoss(ig.ones(4))(ig.ones(2, 3), ig.zeros(2, dtype=ig.int64)),
         "not one for each of 3 classes"),
        (lambda: nn.MaxUnpool1d(2)(ig.ones(1, 1, 2), ig.zeros(1, 1, 2, dtype=ig.int64), [9]),
         "a stride .* or more away"),
        (lambda: nn.MultiheadAttention(4, 2)(*[ig.ones(3, 1, 4)] * 3, is_causal=True),
         "is_causal is a hint beside an attn_mask"),
        (lambda: nn.MultiheadAttention(4, 2)(*[ig.ones(3, 1, 4)] * 3, attn_mask=ig.ones(2, 3)),
         r"attn_mask f32\[2,3\]: \[3, 3\] or \[2, 3, 3\] is wanted"),
        (lambda: nn.Hardtanh(2.0, 1.0), "min_val 2.0 is not below"),
    ],
)  # fmt: skip
def test_refused(call, message):
    with pytest.raises(ig.Error, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, RuntimeError)


def test_packed_sequences_run_to_their_ends():
    x = ig.tensor(np.random.default_rng(1).standard_normal((4, 3, 2)))
    lengths = [2, 4, 1]
    model = nn.GRU(2, 3, bidirectional=True).double()
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    made, last = model(packed)
    wide, counts = nn.utils.rnn.pad_packed_sequence(made)
    assert counts.tolist() == lengths and made.batch_sizes.tolist() == [3, 2, 1, 1]
    for k, n in enumerate(lengths):
        alone, end = model(x[:n, k])
        np.testing.assert_allclose(wide[:n, k].detach().numpy(), alone.detach().numpy(), 1e-13)
        np.testing.assert_allclose(last[:, k].detach().numpy(), end.detach().numpy(), 1e-13)
    assert not wide[2:, 0].any()
    with pytest.raises(ig.ShapeError, match=r"the packed data are \[n, 2\]"):
        model(packed._replace(data=ig.ones(7, 3)))
