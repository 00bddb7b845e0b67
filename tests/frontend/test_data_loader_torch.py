"""The same loaders in torch and here: batches, order, workers, iterables, errors, attributes."""

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.utils import data

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
torch: Any = pytest.importorskip("torch")
theirs: Any = pytest.importorskip("torch.utils.data")


class Rows:
    """Examples in every form that is understood."""

    def __init__(self, api: Any) -> None:
        self.api = api

    def __len__(self) -> int:
        return 23

    def __getitem__(self, k: int) -> Any:
        x = self.api.full((2, 3), float(k))
        return {"x": x, "pair": (k, float(k)), "name": str(k), "row": np.arange(3) + k}


def counting(base: Any, api: Any, told: Any) -> Any:
    class Counting(base):  # type: ignore[misc]  # either library's
        def __iter__(self) -> Any:
            info = told()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            return iter([api.tensor(k) for k in range(first, 17, step)])

    return Counting()


def plain(value: Any) -> Any:
    """Tensors as (dtype, shape, numbers), so that both libraries' can be compared."""
    if isinstance(value, torch.Tensor | ig.Tensor):
        return value.numpy().dtype, list(value.shape), value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(plain, value)]
    return value


def both(make: Any, **options: Any) -> list[Any]:
    found = []
    for api, package in ((torch, theirs), (ig, data)):
        loader = package.DataLoader(make(api, package), **options)
        found.append([plain(batch) for batch in loader])
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 5},
        {"batch_size": 5, "drop_last": True},
        {"batch_size": None},
        {"batch_sampler": [[3, 4], [0]]},
        {"sampler": [4, 4, 1], "batch_size": 2},
        {"batch_size": 4, "collate_fn": lambda examples: [e["name"] for e in examples]},
    ],
)
def test_batches(workers: int, options: dict[str, Any]) -> None:
    a, b = both(lambda api, _: Rows(api), num_workers=workers, **options)
    assert a == b


@pytest.mark.parametrize("workers", [0, 2])
def test_tensor_datasets(workers: int) -> None:
    def make(api: Any, package: Any) -> Any:
        rows = package.TensorDataset(api.arange(40).reshape(20, 2), api.arange(20))
        return package.Subset(rows, range(15, 2, -1))

    a, b = both(make, batch_size=4, num_workers=workers)
    assert a == b


@pytest.mark.parametrize(
    ("workers", "options"),
    list(
        itertools.product([0, 1, 2, 3], [{"batch_size": 3}, {"batch_size": 3, "drop_last": True}])
    ),
)
def test_iterables(workers: int, options: dict[str, Any]) -> None:
    def make(api: Any, package: Any) -> Any:
        return counting(package.IterableDataset, api, package.get_worker_info)

    a, b = both(make, num_workers=workers, **options)
    assert a == b


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": -1},
        {"persistent_workers": True},
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"multiprocessing_context": "fork"},
        {"num_workers": 1, "multiprocessing_context": "nothing"},
        {"num_workers": 1, "multiprocessing_context": 3},
    ],
)
def test_refused_arguments(options: dict[str, Any]) -> None:
    for api, package in ((torch, theirs), (ig, data)):
        with pytest.raises((ValueError, TypeError)) as caught:
            package.DataLoader(Rows(api), **options)
        if api is torch:
            kinds = (ValueError, TypeError)
            expected = next(kind for kind in kinds if isinstance(caught.value, kind))
        assert isinstance(caught.value, expected)


def test_signature_and_attributes() -> None:
    mine = inspect.signature(data.DataLoader.__init__).parameters
    of_torch = inspect.signature(theirs.DataLoader.__init__).parameters
    assert [(p.name, p.kind, p.default) for p in mine.values()] == [
        (p.name, p.kind, p.default) for p in of_torch.values()
    ]
    texts = (
        "batch_size drop_last num_workers prefetch_factor timeout pin_memory generator in_order",
        "persistent_workers worker_init_fn multiprocessing_context pin_memory_device",
    )
    names = " ".join(texts).split()
    for options in ({}, {"num_workers": 1}, {"batch_sampler": [[0]]}, {"batch_size": None}):
        a, b = theirs.DataLoader(Rows(torch), **options), data.DataLoader(Rows(ig), **options)
        for name in names:
            assert getattr(a, name) == getattr(b, name), name
        assert type(a.sampler).__name__ == type(b.sampler).__name__
        assert type(a.batch_sampler).__name__ == type(b.batch_sampler).__name__
        assert a.collate_fn.__name__ == b.collate_fn.__name__
        assert len(a) == len(b)


class Failing(Rows):
    def __init__(self, api: Any, kind: Any) -> None:
        super().__init__(api)
        self.kind = kind

    def __getitem__(self, k: int) -> Any:
        if k == 3:
            raise self.kind("three")
        return k


@pytest.mark.parametrize("kind", [KeyError, ValueError, OSError, NotImplementedError])
@pytest.mark.parametrize("workers", [0, 1])
def test_exceptions(kind: Any, workers: int) -> None:
    for api, package in ((torch, theirs), (ig, data)):
        batches = iter(package.DataLoader(Failing(api, kind), 2, num_workers=workers))
        assert next(batches).tolist() == [0, 1]
        with pytest.raises(kind, match="three"):
            next(batches)
        assert next(batches).tolist() == [4, 5]


def test_a_persistent_worker_keeps_its_dataset() -> None:
    for api, package in ((torch, theirs), (ig, data)):
        found = {}
        for persistent in (False, True):
            loader = package.DataLoader(
                Remembering(api), 23, num_workers=1, persistent_workers=persistent
            )
            found[persistent] = [int(batch[0]) for _ in range(3) for batch in loader]
        assert found == {False: [1, 1, 1], True: [1, 24, 47]}


class Remembering(Rows):
    count = 0

    def __getitem__(self, k: int) -> Any:
        self.count += 1
        return self.count
