"""torch's names at the root: switches and questions, forms with other arguments, saving, compiling,
and methods that call Python functions."""

import re

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import amp, backends, nn

RNG = np.random.default_rng(5)
A, B, C = RNG.standard_normal((3, 4, 5))
IMAGE = RNG.standard_normal((2, 3, 6, 5))


def same(a, b):
    assert a.dtype is b.dtype and np.array_equal(a.detach().numpy(), b.detach().numpy())


# ----------------------------------------------------------------------------------------- switches


def test_answers():
    assert ig.get_default_device() == "cpu" and ig.get_default_device().type == "cpu"
    ig.set_default_device("cpu")
    with pytest.raises(ig.DeviceError, match=r"device='cuda:1'"):
        ig.set_default_device("cuda:1")
    ig.use_deterministic_algorithms(False, warn_only=True)
    assert ig.are_deterministic_algorithms_enabled()
    ig.set_deterministic_debug_mode("warn")
    assert ig.get_deterministic_debug_mode() == 2
    with pytest.raises(ig.ArgumentError, match="'often'"):
        ig.set_deterministic_debug_mode("often")
    ig.set_float32_matmul_precision("medium")
    assert ig.get_float32_matmul_precision() == "highest"
    with pytest.raises(ig.ArgumentError, match="highest, high, medium"):
        ig.set_float32_matmul_precision("low")
    assert ig.set_flush_denormal(False)
    with pytest.raises(ig.ArgumentError, match="kept"):
        ig.set_flush_denormal(True)
    ig.set_num_interop_threads(3)
    assert ig.get_num_interop_threads() == 1
    with pytest.raises(ig.ArgumentError, match="less than one"):
        ig.set_num_interop_threads(0)


def test_threads_and_dtypes_are_set():
    before = ig.get_num_threads()
    try:
        ig.set_num_threads(before + 1)
        assert ig.get_num_threads() == ig.num_threads() == before + 1
    finally:
        ig.set_num_threads(before)
    try:
        ig.set_default_tensor_type(ig.DoubleTensor)
        assert ig.tensor(1.0).dtype is ig.float64
    finally:
        ig.set_default_tensor_type("torch.FloatTensor")
    assert ig.tensor(1.0).dtype is ig.float32
    with pytest.raises(ig.ArgumentError, match="LongTensor"):
        ig.set_default_tensor_type("torch.LongTensor")


def test_anomalies_are_switched():
    try:
        ig.set_anomaly_enabled(True)
        assert ig.is_anomaly_enabled()
        with pytest.raises(ig.NaNError):
            ig.log(ig.tensor([-1.0]))
    finally:
        ig.set_anomaly_enabled(False)
    assert not ig.is_anomaly_enabled() and not ig.is_autocast_enabled()


def test_questions():
    assert ig.can_cast(ig.bool, ig.uint8) and ig.can_cast(ig.int64, ig.float16)
    assert not ig.can_cast(ig.float16, ig.int64) and not ig.can_cast(ig.uint8, ig.bool)
    assert ig.typename(ig.tensor([1])) == "torch.LongTensor"
    assert ig.typename(3) == "int" and ig.typename(list) == "list"
    assert ig.typename(nn.ReLU()) == ig.typename(nn.ReLU) == "intaglio.nn._activations.ReLU"


def test_backends_and_amp():
    backends.cudnn.benchmark = True
    assert backends.cudnn.benchmark and not backends.cudnn.is_available()
    with pytest.raises(ig.ArgumentError, match="'benchmrk'"):
        backends.cudnn.benchmrk = True
    with pytest.raises(ig.ArgumentError, match=r"to\(bfloat16\)"):
        ig.autocast("cpu", dtype=ig.bfloat16)
    with amp.autocast("cuda", enabled=False):
        assert (ig.ones(2) @ ig.ones(2)).dtype is ig.float32
    with pytest.raises(ig.ArgumentError, match="bfloat16"):
        amp.GradScaler("cpu")
    scaler = amp.GradScaler(enabled=False)
    weight = nn.Parameter(ig.ones(2))
    scaler.scale(weight.sum()).backward()
    scaler.step(ig.optim.SGD([weight], lr=0.5))
    scaler.update()
    same(weight, ig.tensor([0.5, 0.5]))


# -------------------------------------------------------------------------------------- other forms


@pytest.mark.parametrize(("number", "how"), [(0, "none"), (1, "mean"), (2, "sum")])
def test_reductions_by_number(number, how):
    a, b, c = (ig.tensor(x) for x in (A, B, C))
    signs = ig.where(c > 0, 1.0, -1.0)
    same(ig.kl_div(a, b, number, log_target=True), F.kl_div(a, b, None, None, how, True))
    same(
        ig.margin_ranking_loss(a, b, signs, 0.3, number),
        F.margin_ranking_loss(a, b, signs, 0.3, reduction=how),
    )
    same(
        ig.poisson_nll_loss(a, b.abs(), True, True, 1e-3, number),
        F.poisson_nll_loss(a, b.abs(), True, True, eps=1e-3, reduction=how),
    )
    same(
        ig.triplet_margin_loss(a, b, c, 2.0, 1.0, 1e-5, True, reduction=number),
        F.triplet_margin_loss(a, b, c, 2.0, 1.0, 1e-5, True, reduction=how),
    )
    same(
        ig.binary_cross_entropy_with_logits(a, b.sigmoid(), c.abs(), a.exp(), number),
        F.binary_cross_entropy_with_logits(
            a, b.sigmoid(), c.abs(), reduction=how, pos_weight=a.exp()
        ),
    )


def test_reductions_refused():
    a = ig.tensor(A)
    with pytest.raises(ig.ArgumentError, match=r"kl_div: reduction is 0 \('none'\)"):
        ig.kl_div(a, a, 3)
    with pytest.raises(ig.ArgumentError, match="given by place and by name"):
        ig.kl_div(a, a, 1, reduction=2)
    with pytest.raises(ig.ArgumentError, match="4 came"):
        ig.kl_div(a, a, 1, True)


def test_norms_with_other_orders():
    x = ig.tensor(IMAGE)
    weight, bias, mean, var = (ig.tensor(RNG.uniform(0.5, 2, 3)) for _ in range(4))
    for training in (False, True):
        same(
            ig.batch_norm(x, weight, bias, mean.clone(), var.clone(), training, 0.1, 1e-3, True),
            F.batch_norm(x, mean.clone(), var.clone(), weight, bias, training, 0.1, 1e-3),
        )
    same(
        ig.instance_norm(x, weight, bias, mean.clone(), var.clone(), False, 0.1, 1e-3, False),
        F.instance_norm(x, mean, var, weight, bias, False, 0.1, 1e-3),
    )
    same(ig.layer_norm(x, (5,), eps=1e-2), F.layer_norm(x, (5,), eps=1e-2))
    flat = IMAGE.transpose(1, 0, 2, 3).reshape(3, -1)
    made = ig.norm_except_dim(x, 2, 1)
    assert made.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(made.numpy().reshape(-1), np.linalg.norm(flat, axis=1), rtol=1e-12)
    made = ig.frobenius_norm(x, [0, 2], True)
    np.testing.assert_allclose(
        made.numpy(), np.sqrt((IMAGE**2).sum((0, 2), keepdims=True)), rtol=1e-12
    )


def test_tables_and_windows():
    table, places = ig.tensor(A), ig.tensor([[0, 3], [3, 1]])
    same(ig.embedding(table, places), table[places])
    weight = ig.tensor(A).requires_grad_()
    ig.embedding(weight, places, 3).sum().backward()
    assert weight.grad.numpy()[:, 0].tolist() == [1, 1, 0, 0]
    kept = ig.embedding_renorm_(table, places, 0.5, 2.0).numpy()
    lengths = np.linalg.norm(kept, axis=1)
    assert np.all(lengths[[0, 1, 3]] <= 0.5 + 1e-6) and np.array_equal(kept[2], A[2])
    row = ig.tensor(IMAGE[0])
    values, where = ig.max_pool1d_with_indices(row, [3], [], [1])
    same(values, F.max_pool1d(row, 3, padding=1))
    same(values, row.gather(2, where))
    values, where = ig.adaptive_max_pool1d(row, 2)
    same(values, row.gather(2, where))


def test_fractional_windows_with_indices():
    x, samples = ig.tensor(IMAGE), ig.tensor(RNG.random((2, 3, 2)))
    values, where = F.fractional_max_pool2d_with_indices(x, 2, (3, 2), _random_samples=samples)
    same(values, F.fractional_max_pool2d(x, 2, (3, 2), _random_samples=samples))
    same(values.flatten(2), x.flatten(2).gather(2, where.flatten(2)))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_of_any_rank(rank):
    x = ig.tensor(RNG.standard_normal((2, 4) + (5,) * rank))
    weight, up = (ig.tensor(RNG.standard_normal(s + (3,) * rank)) for s in ((6, 2), (4, 3)))
    one, two, none = [1] * rank, [2] * rank, [0] * rank
    plain, turned = (getattr(F, f"conv{t}{rank}d") for t in ("", "_transpose"))
    same(
        ig.convolution(x, weight, None, two, one, one, False, none, 2),
        plain(x, weight, None, 2, 1, 1, 2),
    )
    same(
        ig.convolution(x, up, None, two, one, one, True, one, 2),
        turned(x, up, None, 2, 1, 1, 2, 1),
    )


def test_dropouts():
    x = ig.ones(40, 30, 2)
    ig.manual_seed(3)
    made, kept = ig.native_dropout(x, 0.25, True)
    assert kept.dtype is ig.bool and 0.6 < kept.numpy().mean() < 0.9
    np.testing.assert_allclose(made.numpy(), kept.numpy() / 0.75, rtol=1e-6)
    made, kept = ig.native_dropout(x, 0.25, False)
    assert kept.numpy().all() and np.array_equal(made.numpy(), x.numpy())
    made = ig.feature_dropout(x, 0.5, True).numpy()
    assert np.array_equal(made[..., 0], made[..., 1]) and set(made.reshape(-1)) == {0.0, 2.0}
    for name in ("dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_"):
        y = x.clone()
        assert getattr(ig, name)(y, 0.5, True) is y and len(set(y.numpy().reshape(-1))) == 2
        same(getattr(ig, name)(x.clone(), 0.5, False), x)


def test_vander():
    x = ig.tensor(A[0])
    np.testing.assert_allclose(ig.vander(x).numpy(), np.vander(A[0]), rtol=1e-12)
    made = ig.vander(x, 3, True).numpy()
    np.testing.assert_allclose(made, np.vander(A[0], 3, True), rtol=1e-12)
    assert ig.vander(x, 0).shape == (5, 0)


# ----------------------------------------------------------------------------------- Python methods


def test_functions_of_elements():
    x, y = ig.tensor(A), ig.tensor(B[0])
    z = x.clone()
    assert z.apply_(lambda v: 2 * v + 1) is z
    same(z, 2 * x + 1)
    same(x.clone().map_(y, lambda a, b: a - b), x - y)
    same(x.clone().map2_(y, x, lambda a, b, c: a * b + c), x * y + x)
    part = x.clone()
    part[1].apply_(abs)
    np.testing.assert_array_equal(part.numpy()[1], abs(A[1]))
    assert ig.tensor([1, 2]).apply_(lambda v: v // 2).tolist() == [0, 1]
    with pytest.raises(ig.TraceError, match="custom_op"):
        ig.jit(lambda v: v.clone().apply_(abs))(x)
    with pytest.raises(ig.GradientError, match="detach"):
        ig.tensor(A).requires_grad_().apply_(abs)
    with pytest.raises(ig.DTypeError, match="differ"):
        x.map_(ig.tensor([1] * 5), max)
    with pytest.raises(ig.ShapeError, match="broadcast"):
        y.map_(x, max)


def test_orders_of_dimensions():
    x = ig.zeros(2, 3, 4)
    assert x.dim_order() == (0, 1, 2) and x.permute(2, 0, 1).dim_order() == (1, 2, 0)
    with pytest.raises(ig.ShapeError, match="equal steps"):
        x.expand(2, 3, 4)[:, :1].permute(1, 0, 2)[:, :1].expand(1, 5, 4)[0:1].expand(
            3, 5, 4
        ).dim_order(ambiguity_check=True)


def test_methods_of_activations():
    x = ig.tensor(A)
    same(x.hardshrink(0.3), F.hardshrink(x, 0.3))
    same(x.prelu(ig.tensor([0.25]).double()), ig.where(x > 0, x, 0.25 * x))
    same(ig.conj_physical_(x.clone()), x)


# ------------------------------------------------------------------------------ files and compiling


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_save_a_state(tmp_path, ending):
    if ending == "safetensors":
        pytest.importorskip("safetensors")
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    path = tmp_path / f"weights.{ending}"
    ig.save(model.state_dict(), path)
    other.load_state_dict(ig.load_weights(path))
    same(other.weight, model.weight)


def test_save_a_program(tmp_path):
    model = nn.Linear(3, 2)
    ig.save(ig.trace(model, ig.spec((4, 3), ig.float32)), tmp_path / "model.ig")
    x = ig.randn(4, 3)
    assert np.array_equal(ig.load(tmp_path / "model.ig")(x.numpy()), model(x).detach().numpy())


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        (nn.ReLU(), "x.state_dict()"),
        (ig.ones(2), '{"x": x}'),
        ([1, 2], "not list"),
        ({"epoch": 3}, "'epoch' holds int"),
        ({"model": {"w": ig.ones(1)}}, "'model' holds dict"),
    ],
    ids=["module", "tensor", "list", "number", "nested"],
)
def test_what_is_not_saved(tmp_path, what, remedy):
    with pytest.raises(ig.ArgumentError, match=re.escape(remedy)):
        ig.save(what, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_raw_files(tmp_path):
    path = str(tmp_path / "numbers")
    np.arange(6, dtype=np.float32).tofile(path)
    x = ig.from_file(path, size=4)
    assert x.dtype is ig.float32 and x.tolist() == [0, 1, 2, 3]
    x.zero_()
    assert np.fromfile(path, np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    ig.from_file(path, shared=True, size=2, dtype=ig.int32).fill_(7)
    assert np.fromfile(path, np.int32)[:2].tolist() == [7, 7]
    with pytest.raises(ig.ArgumentError, match="24 bytes"):
        ig.from_file(path, size=7)
    made = ig.from_file(str(tmp_path / "new"), True, 3, dtype=ig.int64)
    assert made.tolist() == [0, 0, 0] and (tmp_path / "new").stat().st_size == 24


def test_capsules():
    x = ig.arange(4)
    assert "dltensor" in repr(ig.to_dlpack(x))


def test_compile():
    @ig.compile(dynamic=True, mode="max-autotune")
    def double(x):
        return x * 2

    x = ig.randn(3)
    same(double(x), x * 2)
    assert "f32[3]" in double.explain()
    eager = ig.compile(lambda x: x + 1, backend="eager")
    same(eager(x), x + 1)
    assert not eager.compilations
    for wrong in ({"backend": "tvm"}, {"mode": "fast"}, {"options": {"epilogue_fusion": True}}):
        with pytest.raises(ig.ArgumentError, match="compile: "):
            ig.compile(lambda x: x, **wrong)


def test_compile_a_module():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    made = ig.compile(model)
    assert list(made.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    assert all(a is b for a, b in zip(made.parameters(), model.parameters(), strict=True))
    x = ig.randn(5, 3)
    made.eval()
    same(made(x), model(x))
    assert "f32[5,3]" in made.explain()
    made(x).sum().backward()
    compiled, model[0].weight.grad = model[0].weight.grad, None
    model(x).sum().backward()
    same(compiled, model[0].weight.grad)


def test_weights_are_no_program(tmp_path):
    ig.save({"a": ig.ones(2)}, tmp_path / "a.npz")
    with pytest.raises(ig.FormatError, match="use load_weights"):
        ig.load(tmp_path / "a.npz")
