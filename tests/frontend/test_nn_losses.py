"""Losses beside NumPy: margins, likelihoods, alignments; weights and reductions; derivatives."""

import itertools
import math

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

RNG = np.random.default_rng(3)
A, B, C = RNG.standard_normal((3, 4, 5))
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])


def close(ours, expected):
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def t(*arrays):
    return [ig.tensor(a) for a in arrays]


def hinge(x):
    return np.maximum(x, 0)


def test_margins():
    a, b, c, signs = t(A, B, C, SIGNS)
    close(
        F.margin_ranking_loss(a, b, signs[:, None] + 0 * a, 0.3, reduction="none"),
        hinge(-SIGNS[:, None] * (A - B) + 0.3),
    )
    wide = SIGNS[:, None] + 0 * A
    close(
        F.hinge_embedding_loss(a, ig.tensor(wide), reduction="sum"),
        np.where(wide == 1, A, hinge(1 - A)).sum(),
    )
    close(F.soft_margin_loss(a, ig.tensor(wide)), np.log1p(np.exp(-wide * A)).mean())
    cosine = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)
    close(
        F.cosine_embedding_loss(a, b, signs, 0.1, reduction="none"),
        np.where(SIGNS == 1, 1 - cosine, hinge(cosine - 0.1)),
    )
    near, far, swap = (np.linalg.norm(x - y + 1e-6, axis=1) for x, y in ((A, B), (A, C), (B, C)))
    close(F.triplet_margin_loss(a, b, c, 2.0), hinge(2 + near - far).mean())
    close(
        F.triplet_margin_with_distance_loss(a, b, c, margin=2.0, swap=True, reduction="none"),
        hinge(2 + near - np.minimum(far, swap)),
    )


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin(p):
    target, weight = np.array([0, 4, 2, 2]), np.array([0.5, 1.0, 2.0, 1.0, 3.0])
    expected = [
        sum(hinge(0.7 - A[n, y] + A[n, i]) ** p * weight[y] for i in range(5) if i != y) / 5
        for n, y in enumerate(target)
    ]
    made = F.multi_margin_loss(*t(A, target), p, 0.7, ig.tensor(weight), reduction="none")
    close(made, expected)
    layer = nn.MultiMarginLoss(p, 0.7, ig.tensor(weight))
    close(layer(*t(A, target)), np.mean(expected))
    assert F.multi_margin_loss(*t(A[0], np.array(3)), reduction="none").shape == ()


def test_multilabel_margin():
    target = np.array([[3, 0, -1, 1, 2], [1, -1, 0, 0, 0], [-1, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    expected = []
    for x, row in zip(A, target, strict=True):
        labels = list(itertools.takewhile(lambda k: k >= 0, row))
        others = [i for i in range(5) if i not in labels]
        expected.append(sum(hinge(1 - x[j] + x[i]) for j in labels for i in others) / 5)
    close(F.multilabel_margin_loss(*t(A, target), reduction="none"), expected)
    close(F.multilabel_margin_loss(*t(A[0], target[0])), expected[0])


def test_likelihoods():
    p = np.exp(B) / np.exp(B).sum(1, keepdims=True)
    logs = A - np.log(np.exp(A).sum(1, keepdims=True))
    close(F.kl_div(*t(logs, p), reduction="batchmean"), (p * (np.log(p) - logs)).sum() / 4)
    close(F.kl_div(*t(logs, np.log(p)), log_target=True), (p * (np.log(p) - logs)).mean())
    assert F.kl_div(*t(logs, 0 * p)).item() == 0
    counts = np.floor(np.abs(C) * 4)
    stirling = np.where(
        counts > 1,
        counts * np.log(np.maximum(counts, 1)) - counts
        + 0.5 * np.log(2 * np.pi * np.maximum(counts, 1)),
        0,
    )  # fmt: skip
    expected = np.exp(A) - counts * A + stirling
    close(F.poisson_nll_loss(*t(A, counts), full=True, reduction="none"), expected)
    var = np.abs(C) + 0.1
    expected = 0.5 * (np.log(var) + (A - B) ** 2 / var) + 0.5 * np.log(2 * np.pi)
    close(F.gaussian_nll_loss(*t(A, B, var), full=True), expected.mean())
    small = ig.zeros((4, 1), dtype=ig.float64).requires_grad_()
    F.gaussian_nll_loss(*t(A, B), small, eps=0.5).backward()
    assert (small.grad.numpy() != 0).all()  # limited from below, with the derivative of var itself


def test_weights_and_former_switches():
    weight = np.abs(C) + 0.1
    close(F.mse_loss(*t(A, B), weight=ig.tensor(weight)), np.average((A - B) ** 2, weights=weight))
    close(F.l1_loss(*t(A, B), size_average=False), np.abs(A - B).sum())
    close(F.l1_loss(*t(A, B), None, False), np.abs(A - B))
    close(nn.MSELoss(reduce=False)(*t(A, B)), (A - B) ** 2)
    close(nn.MSELoss(size_average=False)(*t(A, B)), ((A - B) ** 2).sum())


def test_linear_cross_entropy_is_what_its_parts_are():
    x, w, bias, target = t(A, C[:3], np.array([0.1, 0.2, 0.3]), np.array([0, 2, -100, 1]))
    parts = F.cross_entropy(F.linear(x, w, bias), target)
    close(F.linear_cross_entropy(x, w, target, linear_bias=bias), parts.item())


# ------------------------------------------------------------------------------------- alignments


def brute_ctc(logs, target, blank):
    """-log of the sum over all paths that collapse to the target."""
    total = 0.0
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        collapsed = [k for k, _ in itertools.groupby(path) if k != blank]
        if collapsed == list(target):
            total += math.exp(sum(logs[i, k] for i, k in enumerate(path)))
    return -math.log(total) if total else math.inf


@pytest.fixture(scope="module")
def speech():
    x = np.random.default_rng(1).standard_normal((5, 3, 3))
    logs = x - np.log(np.exp(x).sum(2, keepdims=True))
    return logs, np.array([[1, 1, 2], [2, 0, 0], [1, 2, 1]]), [5, 4, 3], [2, 1, 3]


def test_ctc_sums_all_paths(speech):
    logs, targets, lengths, counts = speech
    expected = [brute_ctc(logs[: lengths[n], n], targets[n, : counts[n]], 0) for n in range(3)]
    close(F.ctc_loss(*t(logs, targets), lengths, counts, reduction="none"), expected)
    joined = np.concatenate([row[:k] for row, k in zip(targets, counts, strict=True)])
    made = F.ctc_loss(*t(logs, joined), *t(np.array(lengths), np.array(counts)))
    close(made, np.mean(np.array(expected) / counts))
    assert F.ctc_loss(*t(logs[:1, 0], np.array([1, 2])), 1, 2).item() == math.inf
    impossible = ig.tensor(logs[:1, 0]).requires_grad_()
    loss = F.ctc_loss(impossible, ig.tensor([1, 2]), (1,), (2,), zero_infinity=True)
    loss.backward()
    assert loss.item() == 0 and not impossible.grad.numpy().any()
    close(F.ctc_loss(*t(logs[:2, 0], np.array([1, 2])), 2, 0), -logs[:2, 0, 0].sum())


def test_ctc_derivative_and_compiled(speech):
    logs, targets, lengths, counts = speech
    raw = ig.tensor(logs + 0.3).requires_grad_()

    def loss(x):
        scores = F.log_softmax(x, 2)
        return F.ctc_loss(scores, ig.tensor(targets), lengths, counts, reduction="sum")

    assert ig.autograd.gradcheck(loss, (raw,))
    step = ig.jit(lambda x: ig.autograd.grad(loss(x), x))
    np.testing.assert_array_equal(
        step(raw)[0].numpy().view(np.int64),
        ig.autograd.grad(loss(raw), raw)[0].numpy().view(np.int64),
    )


def test_derivatives():
    a, b = (ig.tensor(x).requires_grad_() for x in (A[:2], B[:2]))
    signs, target = ig.tensor(SIGNS[:2]), ig.tensor(np.array([[3, 0, -1, 1, 2], [1, -1, 0, 0, 0]]))
    classes = ig.tensor([1, 3])

    def everything(x, y):
        return (
            F.cosine_embedding_loss(x, y, signs, -0.5) + F.multilabel_margin_loss(x, target)
            + F.multi_margin_loss(x, classes, 2) + F.gaussian_nll_loss(x, y, y * y + 0.1)
            + F.kl_div(x, y * y, reduction="sum") + F.soft_margin_loss(x, signs[:, None])
            + F.poisson_nll_loss(x, y.exp(), log_input=True, full=True)
            + F.cosine_similarity(x, y).sum() + F.pdist(ig.cat([x, y]), 3.0).sum()
        )  # fmt: skip

    assert ig.autograd.gradcheck(everything, (a, b))
    eager = everything(a, b).detach().numpy()
    np.testing.assert_array_equal(eager, ig.jit(everything)(a, b).detach().numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: F.mse_loss(a, a, reduction="median"), "'mean', 'sum' or 'none'"),
        (lambda a: F.huber_loss(a, a, delta=0.0), "delta is above 0"),
        (lambda a: F.margin_ranking_loss(a, a, a[0]), "same number of dimensions"),
        (lambda a: F.multi_margin_loss(a, ig.tensor([0, 1])), "one class for each row"),
        (lambda a: F.multi_margin_loss(a, ig.tensor([0] * 4), p=3), "p is 1 or 2"),
        (lambda a: F.cosine_embedding_loss(a, a, a), "are wanted"),
        (lambda a: F.gaussian_nll_loss(a, a, -a * a), "negative elements"),
        (lambda a: F.gaussian_nll_loss(a, a, (a * a)[:, :2]), "var has the input's shape"),
        (lambda a: F.triplet_margin_loss(a, a, a, margin=0.0), "the margin is above 0"),
        (lambda a: F.ctc_loss(a, ig.tensor([1, 2]), (9,), (2,)), "from 0 to 4"),
        (lambda a: F.ctc_loss(a, ig.tensor([1, 2]), (4,), (2,), blank=5), "the blank 5"),
        (lambda a: F.pdist(a[0]), "a matrix"),
        (lambda a: F.linear_cross_entropy(a, a[:, :2], ig.tensor([0] * 4)), "last size"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ig.Error, match=message):
        call(ig.tensor(A))
