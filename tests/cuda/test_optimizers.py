"""Every optimizer on a device has the bits that it has on the CPU, op by op and as one call."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim
from intaglio.runtime.device.device import Device
from tests.cuda.emulated_driver import EmulatedDriver

OPTIONS = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "dampening": 0.1},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {},
    "Adafactor": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {"betas": (0.8, 0.9)},
    "Rprop": {},
    "ASGD": {"t0": 2},
    "Lion": {"weight_decay": 0.1},
    "Muon": {},
}


def run(names: list[str], device: str) -> dict[str, np.ndarray]:
    """Three steps of each; the third is compiled."""
    rng = np.random.default_rng(0)
    found = {}
    for name in names:
        w = ig.tensor(rng.standard_normal((4, 3)), dtype=ig.float32, device=device)
        opt = getattr(optim, name)([w.requires_grad_()], **OPTIONS[name])
        for k in range(3):
            g = np.random.default_rng(k).standard_normal((4, 3)).astype(np.float32)
            w.grad = ig.tensor(g, device=device)
            opt.step()
        assert w.device.type == device
        found |= {f"{name} {key}": t.cpu().numpy() for key, t in opt.state[w].items()}
        found[name] = w.detach().cpu().numpy()
    return found


def check(names: list[str]) -> None:
    ours, theirs = run(names, "cuda"), run(names, "cpu")
    for key, array in theirs.items():
        np.testing.assert_array_equal(ours[key], array, err_msg=key)


def test_same_bits_emulated(emulated: EmulatedDriver) -> None:
    """Those whose state has single numbers or other shapes than the parameter's."""
    check(["NAdam", "ASGD", "Adafactor"])


@pytest.mark.gpu
def test_same_bits_on_a_gpu(gpu: Device) -> None:
    check(list(OPTIONS))
