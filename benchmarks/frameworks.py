"""One face over torch and intaglio, so that a workload is written once, and the ways to run it.

intaglio carries torch's names, so a framework is little more than its modules. A *variant* turns
the plain eager function of a workload into what a peer's user would call.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Framework:
    """The modules of torch or of intaglio that models are made from."""

    api: Any
    nn: Any
    functional: Any
    optim: Any

    def tensor(self, array: np.ndarray) -> Any:
        """A tensor that owns a copy of the array."""
        return self.api.tensor(array.copy())

    def no_grad(self) -> AbstractContextManager[object]:
        """The context in which nothing is recorded for derivatives."""
        context: AbstractContextManager[object] = self.api.no_grad()
        return context

    def fill(self, module: Any, seed: int) -> None:
        """Give a module's parameters values that depend on their names' order and shapes only."""
        rng = np.random.default_rng(seed)
        state = module.state_dict()
        for name in sorted(dict(module.named_parameters())):
            shape = tuple(state[name].shape)
            if len(shape) == 1:
                value = np.zeros(shape) if name.endswith("bias") else np.ones(shape)
            else:
                value = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            state[name] = self.tensor(value.astype(np.float32))
        module.load_state_dict(state)


@dataclass(frozen=True)
class Step:
    """What is timed: a function of tensors, and the arrays it is called with."""

    function: Function
    arrays: Arrays
    module: Any = None  # the model itself where the function is nothing but its forward


Build = Callable[[Framework], Step]


def framework(name: str) -> Framework:
    """torch or intaglio, imported now."""
    api = import_module(name)
    functional = import_module(f"{name}.nn.functional")
    return Framework(api, import_module(f"{name}.nn"), functional, import_module(f"{name}.optim"))


def threads() -> int:
    """The number of threads that every peer is to use."""
    return int(os.environ["BENCHMARK_THREADS"])


def torch_framework() -> Framework:
    """torch with its threads set."""
    found = framework("torch")
    found.api.set_num_threads(threads())
    return found


def bind(fw: Framework, function: Function, step: Step) -> Function:
    """A call without arguments; the tensors are made once."""
    tensors = tuple(fw.tensor(array) for array in step.arrays)
    return lambda: function(*tensors)


def torch_eager(build: Build) -> Function:
    """torch as it comes."""
    fw = torch_framework()
    step = build(fw)
    return bind(fw, step.function, step)


def torch_compile(build: Build) -> Function:
    """torch.compile of the whole function."""
    fw = torch_framework()
    step = build(fw)
    return bind(fw, fw.api.compile(step.function), step)


def torch_jit(build: Build) -> Function:
    """torch.jit.trace and freeze, for inference."""
    fw = torch_framework()
    step = build(fw)
    example = tuple(fw.tensor(array) for array in step.arrays)
    with fw.no_grad():
        frozen = fw.api.jit.freeze(fw.api.jit.trace(step.module.eval(), example))

    def call(*tensors: Any) -> Any:
        with fw.no_grad():
            return frozen(*tensors)

    return bind(fw, call, step)


def intaglio_eager(build: Build) -> Function:
    """intaglio, each op at once."""
    fw = framework("intaglio")
    step = build(fw)
    return bind(fw, step.function, step)


def intaglio_jit(build: Build) -> Function:
    """intaglio, the whole function compiled in this process."""
    fw = framework("intaglio")
    step = build(fw)
    return bind(fw, fw.api.jit(step.function), step)


def intaglio_file(build: Build) -> Function:
    """intaglio, traced, saved, loaded again and called with arrays."""
    step, loaded = loaded_file(build, threads=threads())
    return lambda: loaded(*step.arrays)


def loaded_file(build: Build, **options: Any) -> tuple[Step, Any]:
    """The step, and its function traced, saved and loaded again with these options."""
    fw = framework("intaglio")
    step = build(fw)
    example = tuple(fw.tensor(array) for array in step.arrays)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ig"
        fw.api.trace(step.function, *example).save(path)
        return step, import_module("intaglio.runtime").load(path, **options)


def intaglio_cuda(build: Build) -> Function:
    """intaglio, loaded on a GPU, with arrays that lie there; each call is waited for."""
    step, loaded = loaded_file(build, device="cuda")
    device = import_module("intaglio.runtime.device.device").find_device("cuda")
    arrays = tuple(map(device.upload, step.arrays))
    return waited(lambda: loaded(*arrays), device.synchronize)


def torch_cuda(build: Build) -> Function:
    """torch on a GPU, as it comes; each call is waited for."""
    fw = framework("torch")
    fw.api.set_default_device("cuda")
    step = build(fw)
    return waited(bind(fw, step.function, step), fw.api.cuda.synchronize)


def waited(call: Function, synchronize: Callable[[], None]) -> Function:
    """A call that has ended on the device when it returns."""

    def whole() -> Any:
        made = call()
        synchronize()
        return made

    return whole


VARIANTS: dict[str, Callable[[Build], Function]] = {
    "torch": torch_eager,
    "torch_jit": torch_jit,
    "torch_compile": torch_compile,
    "intaglio_eager": intaglio_eager,
    "intaglio_jit": intaglio_jit,
    "intaglio_file": intaglio_file,
    "torch_cuda": torch_cuda,
    "intaglio_cuda": intaglio_cuda,
}
