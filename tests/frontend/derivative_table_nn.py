"""The rows of `derivative_table` for products, linear algebra and neural networks, and the public
functions that are exempt."""

from __future__ import annotations

from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import linalg
from tests.frontend.derivative_table import (
    CLASSES,
    ELEMENTWISE,
    IMAGE,
    INDEXING,
    JOINS,
    LINE,
    MASK,
    MOVEMENTS,
    PREFIXES,
    REDUCTIONS,
    SPECIAL,
    VOLUME,
    P,
    Row,
    V,
    X,
    Y,
    Z,
    lower,
    np_softmax,
    real,
    regular,
    rows_of,
    spd,
    unit,
)

A, B, C, D = real(2, 3), real(3, 2), real(2, 2), real(2, 2, low=-1.1)
STACK_A, STACK_B = real(2, 2, 3), real(2, 3, 2)


def called(f: Any, *args: Any, **options: Any) -> Any:
    """`f` of a tensor and these arguments."""
    return lambda x: f(x, *args, **options)


def first(f: Any, *args: Any, **options: Any) -> Any:
    """The first result of `f` of a tensor and these arguments."""
    return lambda x: f(x, *args, **options)[0]


def sign(x: np.ndarray[Any, Any]) -> Any:
    """Signs, as integers of a label."""
    return ig.tensor(np.sign(x))


PRODUCTS = {
    "matmul": Row(ig.matmul, (A, B), np.matmul),
    "mm": Row(ig.mm, (A, B), np.matmul),
    "bmm": Row(ig.bmm, (STACK_A, STACK_B), np.matmul),
    "mv": Row(lambda x: ig.mv(x, x[0]), (X,), lambda x: x @ x[0]),
    "dot": Row(lambda x: ig.dot(x[0], x[1]), (X,), lambda x: x[0] @ x[1]),
    "inner": Row(ig.inner, (X, Y), np.inner),
    "outer": Row(lambda x, y: ig.outer(x[0], y[1]), (X, Y), lambda x, y: np.outer(x[0], y[1])),
    "kron": Row(ig.kron, (C, A), np.kron),
    "tensordot": Row(lambda x, y: ig.tensordot(x, y, 1), (A, B), lambda x, y: x @ y),
    "einsum": Row(lambda x, y: ig.einsum("ij,kj->ik", x, y), (X, Y), lambda x, y: x @ y.T),
    "addmm": Row(lambda c, a, b: ig.addmm(c, a, b, beta=2), (C, A, B),
                 lambda c, a, b: 2 * c + a @ b),
    "addmv": Row(lambda c, a: ig.addmv(c[0], a, a[0]), (C, A), lambda c, a: c[0] + a @ a[0]),
    "addr": Row(lambda c, a: ig.addr(c, a[:, 0], a[:, 1]), (C, A),
                lambda c, a: c + np.outer(a[:, 0], a[:, 1])),
    "addbmm": Row(ig.addbmm, (C, STACK_A, STACK_B), lambda c, a, b: c + (a @ b).sum(0)),
    "baddbmm": Row(ig.baddbmm, (real(2, 2, 2), STACK_A, STACK_B), lambda c, a, b: c + a @ b),
    "chain_matmul": Row(lambda a, b: ig.chain_matmul(a, b, a), (A, B), lambda a, b: a @ b @ a),
    "matrix_power": Row(lambda x: ig.matrix_power(x, 3), (C,), lambda x: x @ x @ x),
    "cross": Row(lambda x, y: ig.cross(x, y, 1), (X, Y), np.cross),
    "cdist": Row(lambda x, y: ig.cdist(x, y), (real(2, 2), real(3, 2)),
                 lambda x, y: np.linalg.norm(x[:, None] - y, axis=2)),
    "cov": Row(ig.cov, (X,), np.cov),
    "corrcoef": Row(ig.corrcoef, (real(2, 4),), np.corrcoef),
    "F.linear": Row(F.linear, (A, real(4, 3), V), lambda x, w, b: x @ w.T + b),
    "F.bilinear": Row(F.bilinear, (C, A, real(4, 2, 3), V)),
    "linalg.cross": Row(linalg.cross, (X, Y), np.cross),
    "linalg.vecdot": Row(linalg.vecdot, (X, Y), lambda x, y: (x * y).sum(-1)),
    "linalg.multi_dot": Row(lambda a, b: linalg.multi_dot((a, b, a)), (A, B),
                            lambda a, b: a @ b @ a),
    "linalg.matrix_power": Row(lambda x: linalg.matrix_power(x, 3), (C,), lambda x: x @ x @ x),
    "linalg.vector_norm": Row(linalg.vector_norm, (X,), np.linalg.norm),
}  # fmt: skip


def symmetric(f: Any) -> Any:
    """`f` of the symmetric part of a matrix."""
    return lambda x: f((x + x.mT) / 2)


S, R = spd(3), regular(3, 3)
L = np.linalg

LINALG = {
    name: Row(call, inputs, reference, native=False)
    for name, call, inputs, reference in (
        ("cholesky", symmetric(linalg.cholesky), (S,), L.cholesky),
        ("linalg.cholesky_ex", symmetric(lambda x: linalg.cholesky_ex(x)[0]), (S,), L.cholesky),
        ("cholesky_inverse", lambda x: ig.cholesky_inverse(x.tril()), (lower(3),),
         lambda x: L.inv(x @ x.T)),
        ("cholesky_solve", lambda b, x: ig.cholesky_solve(b, x.tril()), (real(3, 2), lower(3)),
         lambda b, x: L.solve(x @ x.T, b)),
        ("det", linalg.det, (R,), L.det), ("inverse", linalg.inv, (R,), L.inv),
        ("linalg.inv_ex", lambda x: linalg.inv_ex(x)[0], (R,), L.inv),
        ("logdet", ig.logdet, (S,), lambda x: np.log(L.det(x))),
        ("slogdet", lambda x: linalg.slogdet(x)[1], (R,), lambda x: L.slogdet(x)[1]),
        ("matrix_exp", linalg.matrix_exp, (C,), None),
        ("pinverse", ig.pinverse, (regular(3, 2),), L.pinv),
        ("linalg.pinv", linalg.pinv, (regular(3, 2),), L.pinv),
        ("qr", lambda x: tuple(ig.qr(x)), (regular(3, 3),), None),
        ("linalg.qr", lambda x: tuple(linalg.qr(x)), (regular(3, 3),), L.qr),
        ("linalg.solve", linalg.solve, (R, real(3, 2)), L.solve),
        ("linalg.solve_ex", lambda a, b: linalg.solve_ex(a, b)[0], (R, real(3, 2)), L.solve),
        ("linalg.solve_triangular",
         lambda a, b: linalg.solve_triangular(a.tril(), b, upper=False), (lower(3), real(3, 2)),
         L.solve),
        ("triangular_solve", lambda b, a: ig.triangular_solve(b, a.tril(), upper=False)[0],
         (real(3, 2), lower(3)), lambda b, a: L.solve(a, b)),
        ("linalg.lstsq", lambda a, b: linalg.lstsq(a, b)[0], (regular(3, 2), real(3, 2)),
         lambda a, b: L.lstsq(a, b, rcond=None)[0]),
        ("lu", lambda x: ig.lu(x)[0], (R,), None),
        ("linalg.lu", lambda x: tuple(linalg.lu(x))[1:], (R,), None),
        ("linalg.lu_factor", lambda x: linalg.lu_factor(x)[0], (R,), None),
        ("linalg.lu_factor_ex", lambda x: linalg.lu_factor_ex(x)[0], (R,), None),
        ("linalg.lu_solve", lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b),
         (R, real(3, 2)), L.solve),
        ("lu_solve", lambda a, b: ig.lu_solve(b, *linalg.lu_factor(a)), (R, real(3, 2)), L.solve),
        ("lu_unpack", lambda a: ig.lu_unpack(*linalg.lu_factor(a))[1:], (R,), None),
        ("linalg.eigh", symmetric(lambda x: linalg.eigh(x)[0]), (S,), L.eigvalsh),
        ("linalg.eigvalsh", symmetric(linalg.eigvalsh), (S,), L.eigvalsh),
        ("svd", lambda x: ig.svd(x)[1], (R,), lambda x: L.svd(x)[1]),
        ("linalg.svd", lambda x: linalg.svd(x)[1], (R,), lambda x: L.svd(x)[1]),
        ("linalg.svdvals", linalg.svdvals, (R,), lambda x: L.svd(x)[1]),
        ("linalg.cond", linalg.cond, (R,), L.cond),
        ("linalg.norm", linalg.norm, (R,), L.norm),
        ("linalg.matrix_norm", lambda x: linalg.matrix_norm(x, "nuc"), (R,),
         lambda x: L.norm(x, "nuc")),
        ("linalg.tensorinv", lambda x: linalg.tensorinv(x.reshape(2, 2, 4)), (regular(4, 4),),
         lambda x: L.tensorinv(x.reshape(2, 2, 4))),
        ("linalg.tensorsolve", lambda x, b: linalg.tensorsolve(x, b), (regular(4, 4), V),
         L.tensorsolve),
        ("ormqr", lambda c: ig.ormqr(*ig.geqrf(ig.tensor(R)), c), (real(3, 2),), None),
        ("orgqr", lambda x: linalg.householder_product(x, x[0, :2] * 0 + 0.5), (real(3, 2),), None),
    )
}  # fmt: skip

ACTIVATIONS = {
    **rows_of(F, """elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6
        sigmoid silu softplus softshrink softsign tanh tanhshrink""", X),
    "softmax": Row(lambda x: ig.softmax(x, 1), (X,), lambda x: np_softmax(x, 1)),
    "F.softmin": Row(lambda x: F.softmin(x, 1), (X,), lambda x: np_softmax(-x, 1)),
    "log_softmax": Row(lambda x: ig.log_softmax(x, 1), (X,), lambda x: np.log(np_softmax(x, 1))),
    "F.glu": Row(lambda x: F.glu(x, 1), (real(2, 4),),
                 lambda x: x[:, :2] / (1 + np.exp(-x[:, 2:]))),
    "rrelu": Row(lambda x: F.rrelu(x, training=False), (X,)),
    "native_dropout_backward": Row(
        lambda x: ig.native_dropout_backward(x, MASK, 2.0), (X,)),
    **{name: Row(called(f, 0.5, False), (LINE,), lambda x: x)
       for name, f in (("alpha_dropout", F.alpha_dropout), ("F.dropout1d", F.dropout1d),
                       ("feature_alpha_dropout", F.feature_alpha_dropout),
                       ("feature_dropout", ig.feature_dropout))},
    "F.dropout2d": Row(lambda x: F.dropout2d(x, 0.5, False), (IMAGE,), lambda x: x),
    "F.dropout3d": Row(lambda x: F.dropout3d(x, 0.5, False), (VOLUME[:, :1, :2, :2, :2],),
                       lambda x: x),
    "dropout": Row(lambda x: F.dropout(x, training=False), (X,), lambda x: x),
}  # fmt: skip

NORMS = {
    "group_norm": Row(lambda x: ig.group_norm(x, 2), (real(2, 4, 2),)),
    "F.layer_norm": Row(lambda x, w, b: F.layer_norm(x, (3,), w[0], b[0]), (X, Y, Z)),
    "layer_norm": Row(lambda x: ig.layer_norm(x, (3,)), (X,)),
    "rms_norm": Row(lambda x: ig.rms_norm(x, (3,)), (X,)),
    "F.batch_norm": Row(lambda x: F.batch_norm(x, None, None, training=True), (real(4, 2),)),
    "batch_norm": Row(lambda x: ig.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
                      (real(4, 2),)),
    "native_batch_norm": Row(
        lambda x: ig.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[0],
        (real(4, 2),)),
    "native_group_norm": Row(
        lambda x: ig.native_group_norm(x, None, None, 2, 4, 2, 2, 1e-5)[0], (real(2, 4, 2),)),
    "native_layer_norm": Row(lambda x: ig.native_layer_norm(x, (3,), None, None, 1e-5)[0], (X,)),
    "F.instance_norm": Row(F.instance_norm, (LINE,)),
    "instance_norm": Row(
        lambda x: ig.instance_norm(x, None, None, None, None, True, 0.1, 1e-5, False), (LINE,)),
    "F.local_response_norm": Row(lambda x: F.local_response_norm(x, 2), (LINE,)),
    "F.normalize": Row(F.normalize, (X,), lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)),
}  # fmt: skip

SAMPLES = ig.tensor([[[0.3, 0.6, 0.2]] * 2], dtype=ig.float64)
KERNEL = {1: real(2, 2, 2), 2: real(2, 2, 2, 2), 3: real(2, 2, 2, 2, 2)}
SPATIAL = {
    **{f"conv{n}d": Row(getattr(F, f"conv{n}d"), (x, KERNEL[n]))
       for n, x in ((1, LINE), (2, real(1, 2, 3, 3)), (3, real(1, 2, 2, 2, 2)))},
    **{f"conv_transpose{n}d": Row(getattr(F, f"conv_transpose{n}d"), (x, KERNEL[n]))
       for n, x in ((1, real(1, 2, 2)), (2, real(1, 2, 2, 2)), (3, real(1, 2, 2, 1, 1)))},
    "convolution": Row(
        lambda x, w: ig.convolution(x, w, None, (1,), (0,), (1,), False, (0,), 1),
        (LINE, KERNEL[1])),
    **{f"{'' if n == 1 else 'F.'}avg_pool{n}d":
       Row(called(getattr(F, f"avg_pool{n}d"), 2), (x,))
       for n, x in ((1, LINE), (2, IMAGE), (3, real(1, 1, 2, 2, 2)))},
    **{f"max_pool{n}d": Row(called(getattr(F, f"max_pool{n}d"), 2), (x,))
       for n, x in ((1, LINE), (2, IMAGE), (3, real(1, 1, 2, 2, 2)))},
    **{f"F.max_pool{n}d_with_indices":
       Row(first(getattr(F, f"max_pool{n}d_with_indices"), 2), (x,))
       for n, x in ((1, LINE), (2, IMAGE), (3, real(1, 1, 2, 2, 2)))},
    "max_pool1d_with_indices": Row(lambda x: ig.max_pool1d_with_indices(x, 2)[0], (LINE,)),
    **{f"F.lp_pool{n}d": Row(called(getattr(F, f"lp_pool{n}d"), 2, 2), (x,))
       for n, x in ((1, LINE), (2, real(1, 1, 2, 4)), (3, real(1, 1, 2, 2, 2)))},
    **{f"{'' if n == 1 else 'F.'}adaptive_avg_pool{n}d":
       Row(called(getattr(F, f"adaptive_avg_pool{n}d"), 2), (x,))
       for n, x in ((1, LINE), (2, real(1, 1, 3, 3)), (3, real(1, 1, 2, 2, 2)))},
    **{f"F.adaptive_max_pool{n}d": Row(called(getattr(F, f"adaptive_max_pool{n}d"), 2), (x,))
       for n, x in ((1, LINE), (2, real(1, 1, 3, 3)), (3, real(1, 1, 2, 2, 2)))},
    **{f"F.adaptive_max_pool{n}d_with_indices":
       Row(first(getattr(F, f"adaptive_max_pool{n}d_with_indices"), 2), (x,))
       for n, x in ((1, LINE), (2, real(1, 1, 3, 3)), (3, real(1, 1, 2, 2, 2)))},
    "adaptive_max_pool1d": Row(lambda x: ig.adaptive_max_pool1d(x, 2)[0], (LINE,)),
    **{f"F.max_unpool{n}d":
       Row((lambda f, p: lambda x: f(*p(x, 2, return_indices=True), 2))(
           getattr(F, f"max_unpool{n}d"), getattr(F, f"max_pool{n}d")), (x,))
       for n, x in ((1, LINE), (2, real(1, 1, 2, 4)), (3, real(1, 1, 2, 2, 2)))},
    **{f"F.fractional_max_pool{n}d":
       Row(called(getattr(F, f"fractional_max_pool{n}d"), 2, output_size=2,
                  _random_samples=SAMPLES[..., :n]), (x,))
       for n, x in ((2, real(1, 2, 3, 3)), (3, real(1, 2, 3, 3, 3)))},
    **{f"F.fractional_max_pool{n}d_with_indices":
       Row(first(getattr(F, f"fractional_max_pool{n}d_with_indices"), 2, output_size=2,
                 _random_samples=SAMPLES[..., :n]), (x,))
       for n, x in ((2, real(1, 2, 3, 3)), (3, real(1, 2, 3, 3, 3)))},
    "F.pad": Row(lambda x: F.pad(x, (1, 1), "circular"), (LINE,)),
    "F.fold": Row(lambda x: F.fold(x, (2, 2), (1, 2)), (real(1, 4, 2),)),
    "F.unfold": Row(lambda x: F.unfold(x, 2), (real(1, 1, 3, 3),)),
    "pixel_shuffle": Row(lambda x: ig.pixel_shuffle(x, 2), (real(1, 4, 1, 2),)),
    "pixel_unshuffle": Row(lambda x: ig.pixel_unshuffle(x, 2), (real(1, 1, 2, 4),)),
    "channel_shuffle": Row(lambda x: ig.channel_shuffle(x, 2), (real(1, 4, 1, 2),)),
    "F.interpolate": Row(lambda x: F.interpolate(x, size=5, mode="linear"), (LINE,)),
    "F.upsample": Row(lambda x: F.upsample(x, size=9), (LINE,)),
    "F.upsample_bilinear": Row(lambda x: F.upsample_bilinear(x, size=(3, 3)), (real(1, 1, 2, 2),)),
    "F.upsample_nearest": Row(lambda x: F.upsample_nearest(x, size=(3, 3)), (real(1, 1, 2, 2),)),
    "F.affine_grid": Row(lambda x: F.affine_grid(x, [1, 1, 2, 2]), (real(1, 2, 3),)),
    "affine_grid_generator": Row(
        lambda x: ig.affine_grid_generator(x, [1, 1, 2, 2], False), (real(1, 2, 3),)),
    "F.grid_sample": Row(lambda x, g: F.grid_sample(x, g / 2, align_corners=False),
                         (real(1, 1, 3, 3), real(1, 1, 2, 2))),
    "grid_sampler": Row(lambda x, g: ig.grid_sampler(x, g / 2, 0, 0, False),
                        (real(1, 1, 3, 3), real(1, 1, 2, 2))),
    "grid_sampler_2d": Row(lambda x, g: ig.grid_sampler_2d(x, g / 2, 0, 0, False),
                           (real(1, 1, 3, 3), real(1, 1, 2, 2))),
    "grid_sampler_3d": Row(lambda x, g: ig.grid_sampler_3d(x, g / 2, 0, 0, False),
                           (real(1, 1, 2, 2, 2), real(1, 1, 1, 2, 3))),
}  # fmt: skip

T = ig.tensor(unit(2, 3))
LABELS = sign(real(2))
PROPER = ig.tensor(np_softmax(real(2, 3), 1))
LOSSES = {
    "F.mse_loss": Row(F.mse_loss, (X, Y), lambda x, y: ((x - y) ** 2).mean()),
    "F.l1_loss": Row(F.l1_loss, (X, Y), lambda x, y: abs(x - y).mean()),
    "F.huber_loss": Row(F.huber_loss, (X, Y)), "F.smooth_l1_loss": Row(F.smooth_l1_loss, (X, Y)),
    "F.cross_entropy": Row(lambda x: F.cross_entropy(x, CLASSES), (X,),
                           lambda x: -np.log(np_softmax(x, 1))[[0, 1], [2, 0]].mean()),
    "F.nll_loss": Row(lambda x: F.nll_loss(x, CLASSES), (X,),
                      lambda x: -x[[0, 1], [2, 0]].mean()),
    "F.linear_cross_entropy": Row(lambda x, w: F.linear_cross_entropy(x, w, CLASSES),
                                  (real(2, 2), real(3, 2))),
    "F.binary_cross_entropy": Row(lambda x: F.binary_cross_entropy(x, T), (unit(2, 3),)),
    "F.binary_cross_entropy_with_logits": Row(
        lambda x: F.binary_cross_entropy_with_logits(x, T), (X,)),
    "binary_cross_entropy_with_logits": Row(
        lambda x: ig.binary_cross_entropy_with_logits(x, T), (X,)),
    "F.kl_div": Row(lambda x: F.kl_div(x, PROPER, reduction="sum"), (X,)),
    "kl_div": Row(lambda x: ig.kl_div(x, PROPER, 2), (X,)),
    "F.poisson_nll_loss": Row(lambda x: F.poisson_nll_loss(x, T), (X,)),
    "poisson_nll_loss": Row(lambda x: ig.poisson_nll_loss(x, T, True, False, 1e-8, 1), (X,)),
    "F.gaussian_nll_loss": Row(lambda x, v: F.gaussian_nll_loss(x, T, v), (X, P)),
    "F.hinge_embedding_loss": Row(lambda x: F.hinge_embedding_loss(x, sign(Y)), (X,)),
    "hinge_embedding_loss": Row(lambda x: ig.hinge_embedding_loss(x, sign(Y)), (X,)),
    "F.margin_ranking_loss": Row(lambda x, y: F.margin_ranking_loss(x[0], x[1], sign(Y[0])),
                                 (X, Y)),
    "margin_ranking_loss": Row(lambda x: ig.margin_ranking_loss(x[0], x[1], sign(Y[0])), (X,)),
    "F.soft_margin_loss": Row(lambda x: F.soft_margin_loss(x, sign(Y)), (X,)),
    "F.multi_margin_loss": Row(lambda x: F.multi_margin_loss(x, CLASSES), (X,)),
    "F.multilabel_margin_loss": Row(
        lambda x: F.multilabel_margin_loss(x, ig.tensor([[1, -1, 0], [0, 2, -1]])), (X,)),
    "F.multilabel_soft_margin_loss": Row(
        lambda x: F.multilabel_soft_margin_loss(x, MASK.double()), (X,)),
    "F.cosine_embedding_loss": Row(lambda x, y: F.cosine_embedding_loss(x, y, LABELS), (X, Y)),
    "cosine_embedding_loss": Row(lambda x, y: ig.cosine_embedding_loss(x, y, LABELS), (X, Y)),
    "F.triplet_margin_loss": Row(F.triplet_margin_loss, (X, Y, Z)),
    "triplet_margin_loss": Row(ig.triplet_margin_loss, (X, Y, Z)),
    "F.triplet_margin_with_distance_loss": Row(
        F.triplet_margin_with_distance_loss, (X, Y, Z)),
    "F.ctc_loss": Row(
        lambda x: F.ctc_loss(x.log_softmax(2), ig.tensor([[1, 2]]), (4,), (2,)), (real(4, 1, 3),)),
    "ctc_loss": Row(
        lambda x: ig.ctc_loss(x.log_softmax(2), ig.tensor([[1, 2]]), (4,), (2,)), (real(4, 1, 3),)),
    "cosine_similarity": Row(ig.cosine_similarity, (X, Y)),
    "pairwise_distance": Row(ig.pairwise_distance, (X, Y)),
    "pdist": Row(ig.pdist, (real(3, 2),)),
    "F.multi_head_attention_forward": Row(
        lambda q, w, o: F.multi_head_attention_forward(
            q, q, q, 2, 1, w, None, None, None, False, 0.0, o, None, training=False)[0],
        (real(3, 1, 2), real(6, 2), C)),
    "F.scaled_dot_product_attention": Row(
        F.scaled_dot_product_attention,
        (real(1, 2, 3), real(1, 2, 3, low=-1), real(1, 2, 3, low=0)),
        lambda q, k, v: np_softmax(q @ k.swapaxes(1, 2) / np.sqrt(3), 2) @ v),
}  # fmt: skip

GROUPS: dict[str, dict[str, Row]] = {
    "elementwise": ELEMENTWISE, "special": SPECIAL, "reductions": REDUCTIONS,
    "prefixes": PREFIXES, "movements": MOVEMENTS, "joins": JOINS, "indexing": INDEXING,
    "products": PRODUCTS, "linalg": LINALG, "activations": ACTIVATIONS, "norms": NORMS,
    "spatial": SPATIAL, "losses": LOSSES,
}  # fmt: skip
TABLE: dict[str, Row] = {name: row for rows in GROUPS.values() for name, row in rows.items()}

EXEMPT: dict[str, str] = {
    "makes tensors of arguments that are no tensors, or copies data": """
        BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor
        IntTensor LongTensor ShortTensor arange as_tensor asarray bartlett_window blackman_window
        complex copied_outside_trace empty empty_like empty_permuted empty_strided eye from_dlpack
        from_file from_numpy frombuffer full full_like hamming_window hann_window kaiser_window
        linspace logspace ones ones_like range scalar_tensor spec tensor tril_indices triu_indices
        zeros zeros_like""",
    "gives truths, integers or no tensor": """
        all allclose any argmax argmin argsort argwhere bincount bitwise_and bitwise_left_shift
        bitwise_not bitwise_or bitwise_right_shift bitwise_xor broadcast_shapes bucketize can_cast
        compare count_nonzero eq equal gcd ge get_device greater greater_equal gt is_complex
        is_conj is_floating_point is_inference is_neg is_nonzero is_same_size is_signed is_storage
        is_tensor isclose isfinite isin isinf isnan isneginf isposinf isreal lcm le less less_equal
        logical_and logical_not logical_or logical_xor lt ne nonzero nonzero_static not_equal numel
        promote_types result_type searchsorted signbit typename unravel_index linalg.matrix_rank
        F.one_hot""",
    "has no derivative by its meaning": """
        detach detach_copy histc histogram histogramdd imag nextafter stop_gradient unique
        unique_consecutive""",
    "has no derivative, as in torch": """
        geqrf linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve""",
    "draws at random": """
        bernoulli binomial multinomial native_dropout normal pca_lowrank poisson rand rand_like
        randint randint_like randn randn_like randperm svd_lowrank F.gumbel_softmax""",
    "refuses: its result is complex": """
        linalg.eig linalg.eigvals polar view_as_complex view_as_real""",
    "is no function of tensors": """
        are_deterministic_algorithms_enabled c_op compile custom_op custom_vjp debug_print
        get_default_device get_default_dtype get_deterministic_debug_mode
        get_float32_matmul_precision get_num_interop_threads get_num_threads get_printoptions
        get_rng_state initial_seed is_anomaly_enabled is_autocast_enabled is_grad_enabled
        is_inference_mode_enabled
        is_tracing jit load load_checkpoint load_torch load_weights manual_seed num_threads numpy_op
        program save save_checkpoint save_weights summary
        seed set_anomaly_enabled set_default_device set_default_dtype set_default_tensor_type
        set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
        set_num_interop_threads set_num_threads set_printoptions set_rng_state set_warn_always
        to_dlpack use_deterministic_algorithms""",
}
