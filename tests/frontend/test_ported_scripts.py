"""What training scripts written for torch rest on, one by one, without torch."""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


class Foreign:
    """Another library's tensor: an array behind the protocols."""

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        self.array, self.requires_grad, self.dtype = array, requires_grad, array.dtype

    def detach(self) -> "Foreign":
        return Foreign(self.array)

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise BufferError("requires gradients")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class OnlyArray:
    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.bool_])
def test_other_libraries_tensors_keep_their_dtype(dtype: Any) -> None:
    array = np.ones((2, 3), dtype)
    for given in (Foreign(array), Foreign(array, True), OnlyArray(array)):
        for make in (ig.as_tensor, ig.tensor, ig.asarray):
            made = make(given)
            assert made.numpy().dtype == dtype and tuple(made.shape) == (2, 3)
    shared, copied = ig.as_tensor(Foreign(array)), ig.tensor(Foreign(array))
    array[0, 0] = 0
    assert shared[0, 0].item() == 0 and copied[0, 0].item() == 1
    assert ig.as_tensor(Foreign(array), dtype=ig.float16).dtype is ig.float16


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([np.ones(2), np.ones(2)], ig.float64),
        ([[np.ones(2)], [np.ones(2)]], ig.float64),
        ((2.0, np.float64(1)), ig.float64),
        ([np.float32(1), np.float32(2)], ig.float32),
        ([np.ones(2, np.float32)], ig.float32),
        ([2.0, np.float32(1)], ig.float32),
        ([np.int32(1)], ig.int32),
        ([1.0, 2.0], ig.float32),
        (np.float64(3), ig.float64),
        ([], ig.float32),
    ],
)
def test_dtype_of_lists_of_numpys_numbers(data: Any, dtype: Any) -> None:
    assert ig.tensor(data).dtype is dtype
    assert ig.as_tensor(data).dtype is dtype


def test_order_of_a_parameter_dict() -> None:
    def parts(names: str) -> list[Any]:
        return [(name, nn.Parameter(ig.ones(1))) for name in names]

    assert [n for n, _ in nn.ParameterDict(dict(parts("bca"))).named_parameters()] == list("abc")
    assert list(nn.ParameterDict(OrderedDict(parts("bca")))) == list("bca")
    assert list(nn.ParameterDict(parts("bca"))) == list("bca")
    assert list(nn.ParameterDict(nn.ParameterDict(parts("bca")))) == list("bca")
    assert list(nn.ModuleDict({"b": nn.ReLU(), "a": nn.ReLU()})) == ["b", "a"]


def test_autograd_grad_takes_only_inputs() -> None:
    x = ig.tensor([1.0, 2.0], requires_grad=True)
    y = x**3
    (found,) = ig.autograd.grad(
        outputs=y, inputs=x, grad_outputs=ig.ones_like(y), create_graph=True, only_inputs=True
    )
    assert found.tolist() == [3.0, 12.0] and found.requires_grad


def test_loading_as_with_torch_names_what_to_use(tmp_path: Path) -> None:
    weights = nn.Linear(2, 2).state_dict()
    with pytest.raises(ig.Error, match=re.escape(f"call it {tmp_path / 'best'}.npz")):
        ig.save(weights, tmp_path / "best.pt")
    ig.save(weights, tmp_path / "best.npz")
    with pytest.raises(ig.Error, match=r"'map_location'.*load_weights\(path\)"):
        ig.load(tmp_path / "best.npz", map_location="cpu")
    with pytest.raises(ig.Error, match="use load_weights"):
        ig.load(tmp_path / "best.npz")
    with pytest.raises(ig.Error, match="save_checkpoint"):
        ig.save({"model": weights, "epoch": 3}, tmp_path / "checkpoint.npz")


def mistaken_targets() -> dict[str, tuple[Any, str]]:
    scores = ig.zeros(4, 3)
    return {
        "float classes": (ig.zeros(4), r"f32\[4\].*integers: target\.long\(\)"),
        "a column": (ig.zeros(4, 1, dtype=ig.int64), r"\(4, 1\).*\.squeeze\(-1\)"),
        "another batch": (ig.zeros(5, dtype=ig.int64), r"\(5,\) do not fit scores \(4, 3\)"),
        "no class": (ig.full((4,), 3), r"index 3 is out of range.*axis of size 3"),
    } | {"scores": (scores.argmax(1), "")}


@pytest.mark.parametrize("name", [k for k in mistaken_targets() if k != "scores"])
def test_mistaken_targets_of_cross_entropy(name: str) -> None:
    target, told = mistaken_targets()[name]
    with pytest.raises(ig.Error, match=rf"{told}.*test_ported_scripts\.py:\d+ in cross_entropy"):
        nn.functional.cross_entropy(ig.zeros(4, 3), target)


class Plain(nn.Module):
    def __init__(self) -> None:
        self.width = 3

    def forward(self, x: Any) -> Any:
        return x


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 2)]


def spawned() -> Any:
    rows = ig.utils.data.TensorDataset(ig.ones(4))
    return list(
        ig.utils.data.DataLoader(
            rows, num_workers=1, multiprocessing_context="spawn", collate_fn=lambda rows: rows
        )
    )


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "double into float": (
        lambda: nn.Linear(4, 2)(ig.from_numpy(np.ones((3, 4)))),
        ig.DTypeError,
        r"f64\[3,4\] @ f32\[4,2\].*x\.float\(\).*:\d+ in Linear\)",
    ),
    "tuple": (
        lambda: nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 2))(ig.ones(2, 2, 3)),
        TypeError,
        r"takes a tensor, not a tuple.*output, state = layer\(x\) .*Sequential\.1\)",
    ),
    "no super": (lambda: Plain()(ig.ones(1)), AttributeError, r"Plain.__init__ has to call super"),
    "a module to optimize": (
        lambda: ig.optim.SGD(nn.Linear(2, 2), lr=0.1),
        TypeError,
        r"not a Linear; give its parameters\(\)",
    ),
    "a plain list": (
        lambda: ig.optim.SGD(Listed().parameters(), lr=0.1),
        ValueError,
        "in a ModuleList, not in a plain list",
    ),
    "a module to clip": (
        lambda: nn.utils.clip_grad_norm_(nn.Linear(2, 2), 1.0),
        TypeError,
        r"not a Linear; give its parameters\(\)",
    ),
    "a tensor for a parameter": (
        lambda: setattr(nn.Linear(2, 2), "weight", ig.ones(2, 2)),
        TypeError,
        r"not Tensor; write nn\.Parameter\(weight\)",
    ),
    "a list of modules": (
        lambda: nn.Sequential([nn.Linear(2, 2)]),
        TypeError,
        r"not list: write Sequential\(\*modules\)",
    ),
    "device": (lambda: ig.ones(2).to("gpu"), RuntimeError, r"no device 'gpu'.*scripts\.py:\d+\)"),
    "one class more": (
        lambda: nn.functional.one_hot(ig.tensor([0, 3]), 3),
        IndexError,
        "index 3 is out of range for an axis of size 3",
    ),
    "lambda": (spawned, RuntimeError, "top level of a module"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_a_remedy(name: str) -> None:
    act, kind, told = MISTAKES[name]
    with pytest.raises(kind, match=told):
        act()


def test_one_hot_looks_at_classes_when_compiled() -> None:
    encode = ig.jit(lambda x: nn.functional.one_hot(x, 3))
    assert encode(ig.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        encode(ig.tensor([[0, 3]]))


IMPORTS = """
import intaglio.backends.cudnn as cudnn
import intaglio.nn.modules.utils
from intaglio.cuda.amp import GradScaler, autocast
from intaglio.nn.modules import Linear
from intaglio.nn.modules.batchnorm import _BatchNorm
from intaglio.nn.modules.conv import Conv2d, _ConvNd
from intaglio.nn.modules.loss import CrossEntropyLoss, _Loss
from intaglio.nn.modules.module import Module
from intaglio.nn.modules.transformer import _get_clones
from intaglio.nn.modules.utils import _pair
from intaglio.nn.parallel import DataParallel
from intaglio.nn.parameter import Parameter
"""


def test_imports_from_torchs_files() -> None:
    found: dict[str, Any] = {}
    exec(IMPORTS, found)  # noqa: S102  # the lines above
    assert found["Linear"] is nn.Linear and found["Parameter"] is nn.Parameter
    assert isinstance(nn.BatchNorm2d(3), nn.modules.batchnorm._BatchNorm)
    assert isinstance(nn.Conv1d(1, 1, 1), found["_ConvNd"]) and found["Conv2d"] is nn.Conv2d
    assert not isinstance(nn.Linear(1, 1), (found["_BatchNorm"], found["_Loss"]))
    assert issubclass(found["CrossEntropyLoss"], found["_Loss"])
    assert found["_pair"](3) == (3, 3) and found["_pair"]([1, 2]) == (1, 2)
    first, second = found["_get_clones"](nn.Linear(2, 2), 2)
    assert first is not second and ig.equal(first.weight, second.weight)
    found["cudnn"].benchmark = True
    with pytest.raises(AttributeError, match="Linaer"):
        _ = nn.modules.linear.Linaer
    with pytest.raises(ImportError):
        exec("from intaglio.nn.modules.loss import _Nothing", {})  # noqa: S102  # as above


@pytest.mark.skipif(ig.cuda.is_available(), reason="mixed precision on CUDA is refused there")
def test_mixed_precision_is_off_without_cuda() -> None:
    w = ig.ones(2, requires_grad=True)
    optimizer = ig.optim.SGD([w], lr=0.1)
    ig.cuda.manual_seed_all(3)
    ig.cuda.empty_cache()
    for amp in (ig.cuda.amp, ig.amp):
        with pytest.warns(UserWarning, match="no CUDA device"):
            scaler = amp.GradScaler()
        with pytest.warns(UserWarning, match="no CUDA device"):
            context = amp.autocast() if amp is ig.cuda.amp else amp.autocast("cuda:0")
        with context:
            loss = (w**2).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    np.testing.assert_allclose(w.detach().numpy(), 0.64, rtol=1e-6)
    with pytest.raises(ig.Error, match=r"model\.to\(bfloat16\)"):
        ig.amp.autocast("cpu")


def test_variable() -> None:
    plain = ig.ones(2)
    x = ig.autograd.Variable(plain, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and not plain.requires_grad
    plain[0] = 5
    assert x[0].item() == 5.0
    assert isinstance(plain, ig.autograd.Variable) and not isinstance(1, ig.autograd.Variable)
    with pytest.raises(ig.Error, match="a tensor is wanted, not list"):
        ig.autograd.Variable([1.0])


def test_former_order_of_arguments() -> None:
    x, y, z = ig.tensor([1.0]), ig.tensor([2.0]), ig.tensor([4.0])
    assert ig.add(x, 0.5, y).item() == 2.0 and ig.sub(x, 0.5, y).item() == 0.0
    x.mul_(2).add_(-0.5, y)
    assert x.item() == 1.0
    x.addcmul_(0.5, y, z)
    assert x.item() == 5.0
    x.addcdiv_(-1, z, y)
    assert x.item() == 3.0
    with pytest.raises((TypeError, ValueError)):
        ig.add(x, 1, y, z)


def test_probabilities_of_binary_cross_entropy() -> None:
    target = ig.tensor([1.0, 0.0])
    for p in ([1.5, 0.5], [0.5, -0.1], [float("nan"), 0.5]):
        with pytest.raises(RuntimeError, match=r"f32\[2\].*binary_cross_entropy_with_logits"):
            nn.functional.binary_cross_entropy(ig.tensor(p), target)
    p = ig.tensor([1.0, 0.0], requires_grad=True)
    nn.BCELoss()(p, target).backward()
    assert ig.jit(nn.BCELoss())(ig.tensor([0.5, 0.5]), target).item() == pytest.approx(np.log(2))


def test_the_class_of_tensors_ignores_no_option() -> None:
    with pytest.raises(ig.Error, match=r"no 'requires_grad'; intaglio\.tensor\(data"):
        ig.Tensor([1.0], requires_grad=True)
    assert ig.Tensor([1, 2]).dtype is ig.float32 and ig.Tensor([1.0], device="cpu").item() == 1.0
