"""The devices that tests run on: a GPU emulated on the CPU, and with `-m gpu` a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.device.device import Device, find_device
from intaglio.runtime.device.driver import find_driver, use_driver
from tests.cuda.emulated_driver import EmulatedDriver
from tests.cuda.emulator import COMPILER

_emulated: list[EmulatedDriver] = []


def emulated_driver() -> EmulatedDriver:
    """The emulation of this run: one, so that what it compiled is found again."""
    if not _emulated:
        _emulated.append(EmulatedDriver(devices=2))
    return _emulated[0]


@pytest.fixture
def emulated() -> Iterator[EmulatedDriver]:
    """The emulated driver, in use."""
    if not COMPILER:
        pytest.skip("the emulation needs g++")
    driver = emulated_driver()
    use_driver(driver)
    yield driver
    use_driver(None)
    driver.check_guards()


@pytest.fixture
def gpu() -> Iterator[Device]:
    """The first GPU."""
    use_driver(None)
    try:
        find_driver()
    except DeviceError as error:
        pytest.skip(str(error))
    yield find_device("cuda")
    find_device("cuda").synchronize()


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    """A device to run on."""
    if request.param == "gpu" and "emulated" in request.fixturenames:
        pytest.skip("looks into the emulation")
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Device) else find_device("cuda")
