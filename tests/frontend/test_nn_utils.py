"""Helpers of nn.utils: clipping, vectors, parametrizations, sequences, fusion; in traces too."""

import copy

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.nn import utils
from intaglio.nn.utils import parametrizations, parametrize, rnn

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def with_gradients(scale=1.0):
    rng, several = np.random.default_rng(1), []
    for shape in [(3, 4), (), (5,)]:
        p = nn.Parameter(ig.zeros(*shape))
        p.grad = ig.tensor(scale * rng.standard_normal(shape), dtype=ig.float32)
        several.append(p)
    return [*several, nn.Parameter(ig.zeros(2))]


def joined(parameters):
    return np.concatenate([p.grad.numpy().ravel() for p in parameters if p.grad is not None])


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, float("inf"), 0.5])
def test_clipping_by_the_norm(order):
    ps = with_gradients()
    before = joined(ps)
    norm = np.linalg.norm(before.astype(np.float64), order)
    total = utils.clip_grad_norm_(ps, 0.5, norm_type=order)
    assert total.item() == pytest.approx(norm, rel=1e-5)
    np.testing.assert_allclose(joined(ps), before * (0.5 / (norm + 1e-6)), rtol=1e-5)
    small = with_gradients(1e-3)
    kept = joined(small).copy()
    utils.clip_grad_norm_(small, 10.0, norm_type=order)
    np.testing.assert_array_equal(joined(small), kept)


def test_clipping_has_its_limits():
    ps = with_gradients()
    utils.clip_grad_value_(ps, 0.25)
    assert np.abs(joined(ps)).max() == 0.25
    ps[0].grad[0, 0] = float("nan")
    with pytest.raises(RuntimeError, match="nan"):
        utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert np.isfinite(joined(ps)).sum() == 17
    assert utils.clip_grad_norm_([nn.Parameter(ig.zeros(2))], 1.0).item() == 0.0
    with pytest.raises(ig.TraceError, match="check_nan"):
        ig.trace(lambda: utils.get_total_norm([ps[1]], error_if_nonfinite=True))


def network():
    ig.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    parametrizations.weight_norm(model[0])
    utils.spectral_norm(model[2])
    return model


def clipped_step(model):
    opt = ig.optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        opt.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        norm = utils.clip_grad_norm_(model.parameters(), 0.5)
        utils.clip_grad_value_(model.parameters(), 0.2)
        opt.step()
        return loss, norm

    return step


def test_a_clipped_step_of_parametrized_modules_has_equal_bits_in_traces(tmp_path):
    models = [network() for _ in range(3)]
    program = ig.trace(clipped_step(models[2]), ig.spec((5, 3)), name="step")
    program.save(tmp_path / "clipped.ig")
    loaded = ig.load(str(tmp_path / "clipped.ig"))
    ways = [clipped_step(models[0]), ig.jit(clipped_step(models[1])), program.step]
    for _ in range(3):
        results = [[t.item() for t in way(ig.tensor(X))] for way in ways]
        results.append([float(t) for t in loaded.step(X)])
        assert all(r == results[0] for r in results)
    for name, value in models[0].state_dict().items():
        for model in models[1:]:
            np.testing.assert_array_equal(value.numpy(), model.state_dict()[name].numpy())
        np.testing.assert_array_equal(value.numpy(), loaded.state[name])


def test_vectors():
    model = nn.Linear(3, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert tuple(vector.shape) == (8,)
    utils.vector_to_parameters(ig.arange(8.0), model.parameters())
    assert model.bias.tolist() == [6.0, 7.0]
    with pytest.raises(ig.ShapeError, match="do not fill"):
        utils.vector_to_parameters(ig.ones(3), model.parameters())


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


def test_a_parametrization_registers_and_goes():
    layer = nn.Linear(3, 2)
    weight = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert [n for n, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    np.testing.assert_array_equal(layer.weight.detach().numpy(), weight.numpy())
    layer.weight = ig.ones(2, 3)
    assert layer.parametrizations.weight.original.tolist() == [[0.5] * 3] * 2
    layer(ig.tensor(X)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    other = copy.deepcopy(layer)
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert layer.weight.tolist() == [[2.0] * 3] * 2
    with parametrize.cached():
        assert layer.weight is layer.weight
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight.tolist() == [[2.0] * 3] * 2
    assert isinstance(layer.weight, nn.Parameter) and "weight" in dict(layer.named_parameters())
    assert other.weight.tolist() == [[1.0] * 3] * 2
    third = parametrize.transfer_parametrizations_and_params(other, nn.Linear(3, 2))
    assert third.weight.tolist() == [[1.0] * 3] * 2
    parametrize.remove_parametrizations(other, "weight", leave_parametrized=False)
    assert other.weight.tolist() == [[0.5] * 3] * 2
    with pytest.raises(ig.ArgumentError, match="no parameter"):
        parametrize.register_parametrization(layer, "nothing", Doubled())
    with pytest.raises(ig.ArgumentError, match="unsafe"):
        parametrize.register_parametrization(layer, "weight", nn.Flatten(0))
    with pytest.raises(ig.ArgumentError, match="not parametrized"):
        parametrize.remove_parametrizations(layer, "weight")


def test_older_norms_go_again():
    layer = utils.weight_norm(nn.Linear(3, 2))
    assert {"weight_g", "weight_v"} <= set(layer.state_dict())
    newer = parametrizations.weight_norm(nn.Linear(3, 2))
    newer.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(newer.weight.detach(), layer.weight.detach())
    value = layer.weight.detach().numpy().copy()
    utils.remove_weight_norm(layer)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value)
    layer = utils.spectral_norm(nn.Linear(6, 4), n_power_iterations=30)
    layer(ig.ones(1, 6))
    assert np.linalg.svd(layer.weight.detach().numpy())[1][0] == pytest.approx(1.0, rel=1e-3)
    utils.remove_spectral_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"] and type(layer) is nn.Linear
    with pytest.raises(ig.ArgumentError, match="not found"):
        utils.remove_weight_norm(layer)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("way", ["matrix_exp", "cayley", "householder", None])
def test_orthogonal(shape, way):
    layer = parametrizations.orthogonal(nn.Linear(*shape, dtype=ig.float64), orthogonal_map=way)
    with ig.no_grad():
        original = layer.parametrizations.weight.original  # whose diagonal keeps signs
        original.add_(0.1 * ig.randn(*original.shape) * (1 - ig.eye(*original.shape)))
    q = layer.weight.detach().numpy()
    small = q if len(q) <= q.shape[1] else q.T
    np.testing.assert_allclose(small @ small.T, np.eye(len(small)), atol=1e-9)


def test_sequences():
    parts = [ig.arange(float(n)).unsqueeze(1) for n in (2, 4, 1)]
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=-1.0)
    assert padded[..., 0].tolist() == [[0, 1, -1, -1], [0, 1, 2, 3], [0, -1, -1, -1]]
    left = rnn.pad_sequence(parts, padding_value=-1.0, padding_side="left")
    assert left[..., 0].tolist() == [[-1, 0, -1], [-1, 1, -1], [0, 2, -1], [1, 3, 0]]
    back = rnn.unpad_sequence(padded, [2, 4, 1], batch_first=True)
    assert [b[:, 0].tolist() for b in back] == [p[:, 0].tolist() for p in parts]
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.data[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert [b[:, 0].tolist() for b in rnn.unpack_sequence(packed)] == [
        p[:, 0].tolist() for p in parts
    ]
    whole, lengths = rnn.pad_packed_sequence(packed, batch_first=True, total_length=5)
    assert tuple(whole.shape) == (3, 5, 1) and lengths.tolist() == [2, 4, 1]
    with pytest.raises(ig.ArgumentError, match="enforce_sorted"):
        rnn.pack_sequence(parts)
    with pytest.raises(ig.ArgumentError, match="lengths"):
        rnn.pack_padded_sequence(padded, [9, 1, 1], batch_first=True)


def test_fusion_and_construction():
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    with ig.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
    conv.eval(), norm.eval()
    x = ig.randn(2, 3, 6, 6)
    fused = utils.fuse_conv_bn_eval(conv, norm)
    np.testing.assert_allclose(fused(x).detach(), norm(conv(x)).detach(), atol=1e-5)
    linear, norm = nn.Linear(3, 4).eval(), nn.BatchNorm1d(4).eval()
    fused = utils.fuse_linear_bn_eval(linear, norm)
    np.testing.assert_allclose(
        fused(ig.tensor(X)).detach(), norm(linear(ig.tensor(X))).detach(), atol=1e-6
    )
    with pytest.raises(ig.ArgumentError, match="eval"):
        utils.fuse_linear_bn_eval(linear.train(), norm)
    before = ig.get_rng_state().tolist()
    made = utils.skip_init(nn.Linear, 3, 2)
    assert tuple(made.weight.shape) == (2, 3) and ig.get_rng_state().tolist() == before
