"""What every test run shares: import names, one build cache, golden texts, skips with a reason.

A checkout that is not installed works too: import names are mapped to folders as pyproject.toml
maps them for setuptools. INTAGLIO_TEST_INSTALLED=1 tests an installed copy instead, and
INTAGLIO_TEST_CACHE=folder keeps the build cache between runs.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
GOLDEN_ENDINGS = (".txt", ".c", ".cu", ".json", ".dot", ".svg", ".html")


class Checkout:
    """Finds intaglio and the four packages that live in folders of their own."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of a mapped package; None leaves every other name to Python's own finders."""
        if name not in FOLDERS:
            return None
        home = ROOT / FOLDERS[name]
        return importlib.util.spec_from_file_location(
            name, home / "__init__.py", submodule_search_locations=[str(home)]
        )


if not os.environ.get("INTAGLIO_TEST_INSTALLED"):
    sys.meta_path.insert(0, Checkout)  # type: ignore[arg-type]  # a class with the one method asked for


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` rewrites the golden texts instead of comparing with them."""
    parser.addoption("--update-golden", action="store_true", help="rewrite golden texts")


def is_installed() -> bool:
    """Whether this Python has intaglio, as a copy or editable."""
    try:
        importlib.metadata.distribution("intaglio")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def lay_out_for_children(site: Path) -> None:
    """Make a folder of links that looks like an installed copy, for the processes tests start."""
    package = site / "intaglio"
    package.mkdir(parents=True)
    for entry in (ROOT / FOLDERS["intaglio"]).iterdir():
        (package / entry.name).symlink_to(entry)
    for name, folder in FOLDERS.items():
        if name != "intaglio":
            (package / name.rpartition(".")[2]).symlink_to(ROOT / folder)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def pytest_configure(config: pytest.Config) -> None:
    """Give the run one build cache: a fresh temporary folder, or the one named by the developer."""
    if not is_installed() and "PYTEST_XDIST_WORKER" not in os.environ:
        site = Path(tempfile.mkdtemp(prefix="intaglio-checkout-"))
        lay_out_for_children(site)
        config.add_cleanup(lambda: shutil.rmtree(site))
    kept = os.environ.get("INTAGLIO_TEST_CACHE")
    if kept:
        os.makedirs(kept, mode=0o700, exist_ok=True)
        os.environ["INTAGLIO_CACHE"] = kept
    elif "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the folder of the run
        folder = tempfile.mkdtemp(prefix="intaglio-test-cache-")
        os.environ["INTAGLIO_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def has_cuda_device() -> bool:
    """Whether the CUDA driver is here and sees a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 < count.value


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, what this machine cannot run."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not has_cuda_device():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA driver, or no device"))
    torch = [item for item in items if item.get_closest_marker("torch")]
    if torch and importlib.util.find_spec("torch") is None:
        for item in torch:
            item.add_marker(pytest.mark.skip(reason="torch is not installed; use make test-torch"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """`golden(name, text)` holds text against `golden/<name>` beside the test's own file."""
    folder = Path(request.path).parent / "golden"
    update = request.config.getoption("--update-golden")

    def check(name: str, text: str) -> None:
        assert name.endswith(GOLDEN_ENDINGS), f"{name}: give the golden text an ending"
        path = folder / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        assert path.exists(), f"{path} is missing: run pytest --update-golden and read the result"
        assert text == path.read_text()

    yield check
