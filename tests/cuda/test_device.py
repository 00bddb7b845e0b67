"""The device runtime below models and tensors: memory, arrays, copies, modules, DLPack, errors."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from intaglio.compiler.errors import DeviceError, MemoryError
from intaglio.runtime import cache
from intaglio.runtime.device import cubins, pycuda_driver
from intaglio.runtime.device.array import DeviceArray, dense_strides, reshaped_strides
from intaglio.runtime.device.copying import joined
from intaglio.runtime.device.device import Device, find_device
from intaglio.runtime.device.dlpack import adopt
from intaglio.runtime.device.driver import is_available, use_driver
from intaglio.runtime.device.memory import Pool, size_class
from intaglio.runtime.executor import Executable
from tests.cuda.emulated_driver import EmulatedDriver
from tests.cuda.programs import f32, of, softmax

Array = np.ndarray[Any, Any]


def some(*shape: int, dtype: Any = np.float32) -> Array:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def in_use(device: Device) -> int:
    gc.collect()
    return device.statistics().allocated


# ------------------------------------------------------------------------------------------- memory


def test_size_classes_waste_at_most_a_quarter() -> None:
    for size in (0, 1, 512, 513, 1000, 4097, 1 << 20, (1 << 20) + 1, 123_456_789):
        made = size_class(size)
        assert made >= size and made % 128 == 0
        assert size <= 512 or made <= size * 1.25
        assert size_class(made) == made


def test_blocks_are_used_again_and_counted() -> None:
    driver = EmulatedDriver()
    pool = Pool(driver)
    with driver.current(0):
        block = pool.allocate(1000)
        first = block.address
        other = pool.allocate(1000)
        assert pool.statistics().allocated == 2 * size_class(1000) and other.address != first
        del block
        again = pool.allocate(900)
        assert again.address == first, "the same class"
        assert pool.statistics().requests == 2
        del again, other
        assert pool.statistics().allocated == 0 and driver.held() == pool.statistics().reserved
        pool.release()
        assert driver.held() == 0 == pool.statistics().reserved
        assert pool.statistics().peak == 2 * size_class(1000)


def test_memory_runs_out_with_an_error_and_kept_blocks_are_given_back_first() -> None:
    driver = EmulatedDriver(memory=1 << 20)
    pool = Pool(driver)
    with driver.current(0):
        half = pool.allocate(1 << 19)
        with pytest.raises(MemoryError, match=r"1 MiB of device memory .* 512 KiB .* has no more"):
            pool.allocate(1 << 20)
        del half
        whole = pool.allocate(1 << 20)
        assert driver.held() == 1 << 20, "the half was given back"
        del whole
        pool.limit = 1 << 10
        with pytest.raises(MemoryError, match="the limit is 1 KiB"):
            pool.allocate(2000)


# ------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.bool_, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4)])
def test_arrays_go_up_and_down(device: Device, dtype: Any, shape: tuple[int, ...]) -> None:
    array = some(*shape, dtype=dtype)
    made = device.upload(array)
    array_before = array.copy()
    array[...] = 0
    found = made.to_host()
    assert found.dtype == array.dtype and found.tobytes() == array_before.tobytes()
    assert made.shape == shape and made.nbytes == array.nbytes and made.ndim == len(shape)


def test_single_elements_are_read_as_numbers(device: Device) -> None:
    one = device.upload(np.array(2.5, np.float32))
    assert (float(one), int(one), bool(one), one.item()) == (2.5, 2, True, 2.5)
    assert device.upload(some(2, 2)).tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ValueError):
        device.upload(some(3)).item()


def test_repeated_elements_are_uploaded_once(device: Device) -> None:
    wide = np.broadcast_to(some(3, 1), (4, 3, 1000))
    made = device.upload(wide)
    low, high = made.span
    assert high - low == 12 and made.repeats
    assert (made.to_host() == wide).all()


def test_strided_copies_both_ways(device: Device) -> None:
    array = some(4, 5, 6, dtype=np.int16)
    up = device.upload(array)
    turned = up.look((6, 4, 5), (up.strides[2], up.strides[0], up.strides[1]), 0)
    assert (turned.to_host() == array.transpose(2, 0, 1)).all()
    part = up.look((2, 5, 3), (up.strides[0] * 2, up.strides[1], up.strides[2] * 2), 2)
    assert (part.to_host() == array[::2, :, 1::2]).all()
    device.copy(part, device.upload(np.zeros((2, 5, 3), np.int16)))
    array[::2, :, 1::2] = 0
    assert (up.to_host() == array).all()
    flipped = up.look((120,), (-2,), 119 * 2)
    assert (flipped.to_host() == array.ravel()[::-1]).all()


def test_a_copy_onto_itself_reads_before_it_writes(device: Device) -> None:
    up = device.upload(some(300))
    target = up.look((100,), (4,), 0)
    device.copy(target, up.look((100,), (8,), 0))
    assert (target.to_host() == np.arange(0, 200, 2)).all()


SHAPES = [((2, 3, 4), (4, 6)), ((2, 3, 4), (24,)), ((6, 4), (2, 3, 2, 2)), ((1, 5), (5, 1, 1)),
          ((), (1, 1)), ((0, 3), (3, 0)), ((4,), (2, 2))]  # fmt: skip


@pytest.mark.parametrize("shape, target", SHAPES)
def test_reshapes_share_memory_where_numpy_does(
    shape: tuple[int, ...], target: tuple[int, ...]
) -> None:
    base = np.zeros(tuple(2 * n for n in shape), np.float32)
    cases = [np.zeros(shape, np.float32), base[(*(slice(n) for n in shape), ...)]]
    cases.append(np.zeros(shape[::-1], np.float32).T)
    for array in cases:
        view = array.view()
        try:
            view.shape = target
            expected = view.strides
        except AttributeError:
            expected = None
        found = reshaped_strides(array.shape, array.strides, target, 4)
        assert (found is None) == (expected is None), (array.strides, target)
        if found is not None and expected is not None and array.size:
            for size, one, other in zip(target, found, expected, strict=True):
                assert size == 1 or one == other


def test_dims_are_joined_where_both_arrays_lie_evenly() -> None:
    assert joined((2, 3, 4), [(48, 16, 4), (48, 16, 4)]) == ([24], [[4], [4]])
    assert joined((2, 3, 4), [(48, 16, 4), (4, 8, 24)]) == ([2, 3, 4], [[48, 16, 4], [4, 8, 24]])
    assert joined((1, 1), [(4, 4)]) == ([], [[]])
    assert dense_strides((2, 3), 8) == (24, 8)


# ------------------------------------------------------------------------------------------- DLPack


def test_arrays_are_lent_and_taken_back_through_dlpack(device: Device) -> None:
    before = in_use(device)
    for dtype in (np.float32, np.int64, np.bool_, ml_dtypes.bfloat16, np.uint8):
        made = device.upload(some(3, 4, dtype=dtype))
        assert made.__dlpack_device__() == (2, device.number)
        turned = made.look((4, 3), (made.strides[1], made.strides[0]), 0)
        lent = adopt(device, turned)
        expected = turned.to_host()
        assert lent.address == made.address and lent.dtype == made.dtype
        del made, turned
        gc.collect()
        assert lent.to_host().tobytes() == expected.tobytes(), "the memory is still held"
        del lent
    assert in_use(device) == before, "and given back"


def test_a_capsule_that_nobody_takes_gives_its_array_back(device: Device) -> None:
    before = in_use(device)
    capsule = device.upload(some(10)).__dlpack__(stream=7)
    assert in_use(device) > before
    del capsule
    gc.collect()
    assert in_use(device) == before


def test_the_array_interface_tells_address_and_strides(device: Device) -> None:
    made = device.upload(some(3, 4))
    told = made.__cuda_array_interface__
    assert told["data"] == (made.address, False) and told["shape"] == (3, 4)
    assert told["typestr"] == "<f4" and told["strides"] is None and told["stream"] == 1
    half = made.look((4,), (8,), 0)
    assert half.__cuda_array_interface__["strides"] == (8,)


def test_numpy_is_refused_with_a_remedy(device: Device) -> None:
    with pytest.raises(DeviceError, match="to_host"):
        np.asarray(device.upload(some(3)))


# ---------------------------------------------------------------------------------------- functions


def test_a_graph_runs_with_operands_from_both_sides(device: Device) -> None:
    graph = of([f32(9, 10)], softmax)
    x = some(9, 10)
    (expected,) = Executable(graph)([x])
    kernel = Executable(graph, device=device)
    for operand in (x, device.upload(x)):
        (made,) = kernel([operand])
        assert isinstance(made, DeviceArray) and made.to_host().tobytes() == expected.tobytes()
    turned = device.upload(np.ascontiguousarray(x.T))
    (made,) = kernel([turned.look((9, 10), (4, 36), 0)])
    assert made.to_host().tobytes() == expected.tobytes()


def test_modules_come_from_the_cache(
    emulated: EmulatedDriver, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    graph = of([f32(4, 4)], lambda b, x: b.exp(x))
    x, before = some(4, 4) / 8, cubins.compiled[0]
    made = [Executable(graph, device=Device(emulated, 0))([x])[0].to_host() for _ in range(2)]  # type: ignore[attr-defined]
    assert cubins.compiled[0] == before + 1 and (made[0] == made[1]).all()
    (entry,) = cache.open_cache().folder.glob("*.cubin")
    damaged = bytearray(entry.read_bytes())
    damaged[100] ^= 1
    entry.write_bytes(bytes(damaged))
    (again,) = Executable(graph, device=Device(emulated, 0))([x])
    assert cubins.compiled[0] == before + 2, "a damaged entry is made again"
    assert (again.to_host() == made[0]).all()  # type: ignore[attr-defined]


def test_threads_may_call_at_once(device: Device) -> None:
    kernel = Executable(of([f32(9, 10)], softmax), device=device)
    inputs = [some(9, 10) * k for k in range(4)]
    expected = [kernel([x])[0].to_host() for x in inputs]  # type: ignore[attr-defined]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(10):
            (made,) = kernel([inputs[k]])
            if (made.to_host() != expected[k]).any():  # type: ignore[attr-defined]
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ------------------------------------------------------------------------------------------- errors


def test_names_of_devices(emulated: EmulatedDriver) -> None:
    assert find_device("cuda") is find_device("cuda:0")
    assert find_device("cuda:1").name == "cuda:1"
    with pytest.raises(DeviceError, match=r"no device 'cuda:2': this machine has 2"):
        find_device("cuda:2")
    with pytest.raises(DeviceError, match="write 'cpu', 'cuda' or 'cuda:1'"):
        find_device("tpu")


def test_arrays_of_two_devices_do_not_mix(emulated: EmulatedDriver) -> None:
    kernel = Executable(of([f32(3)], lambda b, x: b.exp(x)), device=find_device("cuda:0"))
    with pytest.raises(DeviceError, match="lies on cuda:1, and cuda:0 is wanted"):
        kernel([find_device("cuda:1").upload(some(3))])


def test_without_pycuda_the_remedy_is_told(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    use_driver(None)
    with pytest.raises(DeviceError, match=r"not installed: .*pip install 'intaglio\[cuda\]'"):
        find_device("cuda")
    assert not is_available()


def test_without_a_driver_it_says_so(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", type(sys)("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(DeviceError, match="CUDA's driver is not here"):
        pycuda_driver.open_pycuda()


def test_the_cpu_needs_none_of_it() -> None:
    code = "import sys, intaglio as ig; ig.ones(3) + 1; print('pycuda' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
