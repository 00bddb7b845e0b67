"""Tensors on a device: moving, eager ops, views, writing in place, derivatives, jit, optimizers.
Everything has the bits that it has on the CPU."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.errors import DeviceError, GradientError, IndexError
from intaglio.runtime.device.device import Device
from tests.cuda.emulated_driver import EmulatedDriver

Tensor = ig.Tensor


def same(one: Tensor, other: Tensor) -> bool:
    """Whether a tensor anywhere has the bits of one on the CPU."""
    return one.dtype is other.dtype and bool(
        one.cpu().contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes()
    )


def both(make: Callable[[Tensor, str], Any], *shape: int) -> tuple[Any, Any]:
    """What a function makes of one input on the CPU and on the device."""
    x = ig.tensor(np.random.default_rng(1).standard_normal(shape).astype(np.float32))
    return make(x.clone(), "cpu"), make(x.cuda(), "cuda")


# ----------------------------------------------------------------------------------- where they lie


def test_tensors_move_and_say_where_they_are(device: Device) -> None:
    x = ig.arange(6).reshape(2, 3)
    up = x.to("cuda")
    assert (x.device, up.device, up.is_cuda, x.is_cuda) == ("cpu", "cuda:0", True, False)
    assert up.to("cuda") is up and x.cpu() is x and up.cuda() is up
    assert up.cpu().tolist() == [[0, 1, 2], [3, 4, 5]] == up.tolist()
    assert up.to(ig.float64).is_cuda and up.to("cpu", ig.float32).dtype is ig.float32
    assert x.to(up).is_cuda and "device='cuda:0'" in repr(up)
    assert ig.as_tensor(device.upload(np.ones(2))).device == "cuda:0"
    assert up.__dlpack_device__() == (2, 0) and ig.from_dlpack(up).data_ptr() == up.data_ptr()
    assert (up[1, 2].item(), int(up[0, 1]), bool(up[0, 0]), f"{up[1, 1]:03d}") == (
        5,
        1,
        False,
        "004",
    )


def test_functions_make_tensors_where_they_are_asked_to(device: Device) -> None:
    made = [
        ig.zeros(3, device="cuda"), ig.ones(2, 2, device="cuda"), ig.full((2,), 7, device="cuda"),
        ig.tensor([1.0, 2.0], device="cuda"), ig.arange(4, device="cuda"), ig.eye(2, device="cuda"),
        ig.linspace(0, 1, 3, device="cuda"), ig.as_tensor(np.ones(2), device="cuda"),
        ig.rand(3, device="cuda"), ig.randn(3, device="cuda"), ig.randint(9, (3,), device="cuda"),
        ig.randperm(5, device="cuda"),
    ]  # fmt: skip
    assert all(t.device == "cuda:0" for t in made)
    x = made[0]
    near = [ig.zeros_like(x), ig.ones_like(x), ig.full_like(x, 2), ig.rand_like(x), x.new_ones(2)]
    assert all(t.device == "cuda:0" for t in near)
    assert ig.zeros_like(x, device="cpu").device == "cpu"
    ig.manual_seed(3)
    a = ig.rand(7)
    ig.manual_seed(3)
    assert same(ig.rand(7, device="cuda"), a), "the numbers do not depend on the device"


def test_reading_a_tensor_into_numpy_wants_cpu_first(device: Device) -> None:
    x = ig.ones(2, device="cuda")
    for read in (x.numpy, lambda: np.asarray(x)):
        with pytest.raises(DeviceError, match=r"lies on cuda:0; copy it with \.cpu\(\) first"):
            read()
    assert x.numpy(force=True).tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(x)).tolist() == [1, 1]  # noqa: S301  # made just here


def test_devices_do_not_mix_but_numbers_do(device: Device) -> None:
    x, y = ig.ones(2, 3, device="cuda"), ig.ones(2, 3)
    for mixed in (
        lambda: x + y,
        lambda: y @ x.T,
        lambda: ig.cat([x, y]),
        lambda: ig.where(x > 0, x, y),
    ):
        with pytest.raises(
            DeviceError, match=r"different devices, (cpu and cuda:0|cuda:0 and cpu)"
        ):
            mixed()
    assert (x + ig.tensor(2.0)).tolist() == [[3.0] * 3] * 2
    assert (ig.tensor(2.0) * x).is_cuda and (3 - x).is_cuda
    assert x[ig.tensor([1, 0])].is_cuda, "an index may lie on the CPU"


def test_two_devices_do_not_mix(emulated: EmulatedDriver) -> None:
    x, y = ig.ones(2, device="cuda:0"), ig.ones(2, device="cuda:1")
    with pytest.raises(DeviceError, match="cuda:0 and cuda:1"):
        x + y
    assert (x + y.to("cuda:0")).tolist() == [2, 2]


# ---------------------------------------------------------------------------------------------- ops

EXPRESSIONS: dict[str, Callable[[Tensor, str], Any]] = {
    "functions": lambda x, d: ig.tanh(x) + ig.exp(-x.abs()) * ig.erf(x),
    "broadcast": lambda x, d: (x - x.mean(0)) / (x.std(1, keepdim=True) + 1e-3),
    "compare": lambda x, d: ig.where(x > 0, x, ig.zeros(1, device=d)).sum(),
    "products": lambda x, d: (x @ x.T) @ (x.T @ x)[:6, :].contiguous(),
    "turned": lambda x, d: x.T.contiguous() @ x.flip(0),
    "softmax": lambda x, d: F.softmax(x, -1) + F.log_softmax(x, 0),
    "reductions": lambda x, d: ig.stack([x.amax(1), x.sum(1), x.argmax(1).float()]),
    "movement": lambda x, d: ig.cat([x[::2, 1:], x[1::2, :-1]], 1).reshape(-1, 3),
    "expanded": lambda x, d: x[:, None, :].expand(6, 2, 6).transpose(0, 1).reshape(12, 6),
    "masks": lambda x, d: x[x > 0.3],
    "take": lambda x, d: x[ig.tensor([2, -1, 0], device=d)],
    "scalars": lambda x, d: x[1, 2] * 2 + x[0, 0],
    "cumsum": lambda x, d: x.cumsum(1),
    "integers": lambda x, d: (x * 10).long() // 3 % 5,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_have_the_bits_of_the_cpu(name: str, device: Device) -> None:
    expected, found = both(EXPRESSIONS[name], 6, 6)
    assert found.is_cuda and found.shape == expected.shape and same(found, expected)


def test_equal_kernels_serve_every_shape(device: Device, emulated: EmulatedDriver) -> None:
    (ig.ones(3, 4, device="cuda") + ig.ones(4, device="cuda")).tanh()
    before = emulated.modules
    for shape in ((5, 2), (1, 9), (40, 3)):
        (ig.ones(*shape, device="cuda") + ig.ones(shape[1], device="cuda")).tanh()
    (ig.ones(2, 3, 4, device="cuda") + ig.ones(4, device="cuda")).tanh()
    assert emulated.modules == before


def test_an_index_out_of_range_names_the_line(device: Device) -> None:
    table = ig.ones(4, 2, device="cuda")
    with pytest.raises(IndexError, match=r"index 4 .* size 4.*test_tensor_on_device\.py:\d+"):
        table[ig.tensor([0, 4], device="cuda")]


# ------------------------------------------------------------------------------- views, writing


def test_views_share_memory_and_writes_go_through(device: Device) -> None:
    def make(x: Tensor, d: str) -> Any:
        first, part = x[0], x[1:, ::2]
        turned = x.T
        first += 1
        part.mul_(2)
        turned[2] = ig.arange(6.0, device=d)
        x[4:, 1] = 9.0
        x.view(-1)[7] = -1
        assert part.data_ptr() == x.data_ptr() + 6 * 4 and not turned.is_contiguous()
        return x, part.contiguous(), first.clone()

    for found, expected in zip(*reversed(both(make, 6, 6)), strict=True):
        assert same(found, expected)


def test_writing_where_elements_share_a_place_is_refused(device: Device) -> None:
    with pytest.raises(GradientError, match="share one place"):
        ig.ones(1, 3, device="cuda").expand(2, 3).add_(1)


def test_copies_cross_devices(device: Device) -> None:
    x, y = ig.zeros(2, 3), ig.ones(2, 3, device="cuda")
    assert x.copy_(y).tolist() == [[1] * 3] * 2 and not x.is_cuda
    y.T.copy_(ig.arange(6.0).reshape(3, 2))
    assert y.tolist() == [[0, 2, 4], [1, 3, 5]]
    z = copy.deepcopy(y)
    z.zero_()
    assert z.is_cuda and y.sum().item() == 15


# ------------------------------------------------------------------------------------- derivatives


def test_derivatives_flow_and_cross_devices(device: Device) -> None:
    def make(x: Tensor, d: str) -> Any:
        x = x.cpu().requires_grad_()
        y = x.to(d)
        z = (F.gelu(y @ y.T) * y[:, :6] / (1 + y.exp())).sum() + y.max(1)[0].mean()
        z.backward()
        return z.detach().cpu(), x.grad

    expected, found = both(make, 6, 6)
    assert not found[1].is_cuda
    assert all(same(f, e) for f, e in zip(found, expected, strict=True))


def test_second_derivatives(device: Device) -> None:
    def make(x: Tensor, d: str) -> Any:
        x.requires_grad_()
        (dx,) = ig.autograd.grad((x.tanh() * x).sum(), [x], create_graph=True)
        (ddx,) = ig.autograd.grad(dx.square().sum(), [x])
        return ddx

    expected, found = both(make, 4, 3)
    assert found.is_cuda and same(found, expected)


def train(device: str, compiled: bool, steps: int = 5) -> tuple[list[float], list[Tensor]]:
    ig.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.25), nn.Linear(16, 5)
    ).to(device)
    optimizer = optim.AdamW(net.parameters(), lr=1e-2)
    random = np.random.default_rng(0)
    x = ig.tensor(random.standard_normal((9, 12)).astype(np.float32), device=device)
    t = ig.tensor(random.integers(0, 5, 9), device=device)

    def step(x: Tensor, t: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss

    run = ig.jit(step) if compiled else step
    losses = [run(x, t).item() for _ in range(steps)]
    assert all(p.device == x.device for p in net.parameters())
    return losses, [p.detach() for p in net.parameters()]


@pytest.fixture(scope="module")
def trained() -> tuple[list[float], list[Tensor]]:
    return train("cpu", compiled=False)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_training_gives_the_bits_of_the_cpu(
    compiled: bool, device: Device, trained: tuple[list[float], list[Tensor]]
) -> None:
    losses, parameters = train("cuda", compiled)
    assert losses == trained[0] and losses[-1] < losses[0]
    assert all(same(a, b) for a, b in zip(parameters, trained[1], strict=True))


def test_jit_returns_and_differentiates_on_the_device(device: Device) -> None:
    @ig.jit
    def f(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"z": (x @ y).tanh(), "s": x.sum()}

    x, y = ig.rand(3, 4), ig.rand(4, 2)
    up = [t.cuda().requires_grad_() for t in (x, y)]
    down = [t.clone().requires_grad_() for t in (x, y)]
    found, expected = f(*up), f(*down)
    assert found["z"].is_cuda and same(found["z"].detach(), expected["z"].detach())
    assert f.compilations == 2, "one for each device"
    (found["z"].sum() + found["s"]).backward()
    (expected["z"].sum() + expected["s"]).backward()
    for a, b in zip(up, down, strict=True):
        assert a.grad is not None and b.grad is not None and same(a.grad, b.grad)
    with pytest.raises(DeviceError, match="check_nan runs op by op on the CPU"):
        ig.jit(lambda x: x.exp(), check_nan=True)(up[0])


def test_a_module_on_the_device_traces_into_the_file_of_the_cpu(
    device: Device, tmp_path: Any
) -> None:
    ig.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    spec = ig.spec(("n", 3))
    programs = {}
    for device_name in ("cpu", "cuda"):
        programs[device_name] = ig.trace(net.to(device_name), spec)
        programs[device_name].save(tmp_path / f"{device_name}.ig")
    assert (tmp_path / "cpu.ig").read_bytes() == (tmp_path / "cuda.ig").read_bytes()
    x = ig.rand(5, 3)
    assert same(programs["cuda"](x.cuda()), ig.tensor(ig.load(tmp_path / "cpu.ig")(x)))
    state = {k: v.cpu() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    assert all(v.is_cuda for v in net.state_dict().values())
    ig.save_weights(tmp_path / "weights.npz", net.state_dict())
    assert {k: v.shape for k, v in ig.load_weights(tmp_path / "weights.npz").items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    assert not any(v.is_cuda for v in net.cpu().state_dict().values())


def test_memory_is_counted_and_given_back(device: Device) -> None:
    gc.collect()
    before = ig.cuda.memory_allocated()
    x = ig.ones(1000, device="cuda")
    assert ig.cuda.memory_allocated() >= before + 4000
    for _ in range(3):
        y = (x * x).sum()
    assert y.item() == 1000
    del x, y
    gc.collect()
    assert ig.cuda.memory_allocated() - before <= 2048, "but numbers that are kept"
    assert ig.cuda.max_memory_allocated() >= before + 4000
    ig.cuda.synchronize()
    ig.cuda.empty_cache()
    assert ig.cuda.memory_reserved() >= ig.cuda.memory_allocated()


def test_what_there_is(emulated: EmulatedDriver) -> None:
    assert ig.cuda.is_available() and ig.cuda.device_count() == 2
    assert "emulated" in ig.cuda.get_device_name() and ig.cuda.get_device_capability() == (9, 0)
    with pytest.raises(DeviceError, match="cuda:7"):
        ig.ones(2, device="cuda:7")


# ------------------------------------------------------------------------------- finding things out


def test_values_are_shown_and_nan_is_found(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    x = ig.tensor([1.0, -1.0], device="cuda").requires_grad_()
    shown = []
    for function in (
        lambda x: ig.debug_print(x * 2, "h"),
        ig.jit(lambda x: ig.debug_print(x * 2, "h")),
    ):
        function(x)
        head, elements = capsys.readouterr().out.split(" = ")
        assert head.startswith("h: f32[2] (")
        shown.append(elements)
    assert shown == ["[ 2., -2.]\n"] * 2
    with ig.autograd.detect_anomaly():
        with pytest.raises(ig.NaNError, match=r"sqrt: f32\[2\]: NaN at \[1\] from -1.0"):
            x.sqrt()
        with pytest.raises(ig.NaNError, match="gradient of sqrt"):
            ((x - 1).clamp(min=0).sqrt() * 0).sum().backward()
    with pytest.raises(DeviceError, match="check_nan"):
        ig.jit(lambda x: x.sqrt(), check_nan=True)(x)


def test_versions_on_both_sides_are_compared(device: Device) -> None:
    layer = nn.Linear(3, 2).to("cuda")
    found = ig.compare(layer, ig.jit(layer), ig.ones(4, 3, device="cuda"), show=False)
    assert found.same_bits and len(found.ops) > 1, found
