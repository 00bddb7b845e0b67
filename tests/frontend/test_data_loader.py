"""DataLoader: the same batches for any number of workers, positions, errors, and no leaks."""

import gc
import multiprocessing
import os
import pickle
import random
import signal
import time
import warnings
from typing import NamedTuple

import numpy as np
import pytest

import intaglio as ig
from intaglio.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
)
from intaglio.runtime.loading import LoadingError

WORKERS = (0, 1, 2)
pytestmark = pytest.mark.filterwarnings("ignore:DataLoader. . workers on")


class Squares(Dataset):
    """Example k is (f32[2] of k, k * k)."""

    def __init__(self, size=50):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, k):
        return np.full(2, k, np.float32), k * k


class Noisy(Squares):
    """Draws from all three generators."""

    def __getitem__(self, k):
        return k, random.random(), np.random.standard_normal(), ig.rand(2), ig.randn(())


class Counting(IterableDataset):
    """Numbers, shared out between the workers, each with a random one."""

    def __init__(self, size=23):
        self.size = size

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for k in range(first, self.size, step):
            yield k, random.random()


class Resumable(Counting):
    """Counts from where it is, and tells where."""

    at = 0

    def __iter__(self):
        while self.at < self.size:
            self.at += 1
            yield self.at - 1, random.random()

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        if get_worker_info() is not None or self.at == 0:
            self.at = state["at"]


def plain(batch):
    """A batch as nested lists of numbers."""
    if isinstance(batch, ig.Tensor):
        return batch.numpy().tolist()
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    return [plain(x) for x in batch] if isinstance(batch, list | tuple) else batch


def epochs(loader, count=1):
    return [plain(list(loader)) for _ in range(count)]


# -------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"drop_last": True, "batch_size": 7}])
def test_batches_do_not_depend_on_the_number_of_workers(options):
    found = []
    for workers in WORKERS:
        ig.manual_seed(7)
        options = {"batch_size": 8, **options}
        found.append(epochs(DataLoader(Squares(), num_workers=workers, **options), 2))
        found[-1].append(ig.rand(3).tolist())
    assert found[0] == found[1] == found[2]
    if options.get("shuffle"):
        assert found[0][0] != found[0][1]
        assert sorted(sum((b[1] for b in found[0][0]), [])) == [k * k for k in range(50)]


def test_random_draws_do_not_depend_on_the_number_of_workers():
    found = []
    for workers in WORKERS:
        generator = ig.Generator().manual_seed(3)
        loader = DataLoader(Noisy(), 8, shuffle=True, num_workers=workers, generator=generator)
        found.append(epochs(loader, 2))
    assert found[0] == found[1] == found[2]
    drawn = {row[1] for epoch in found[0] for batch in epoch for row in zip(*batch, strict=True)}
    assert len(drawn) == 100


@pytest.mark.parametrize("spare", [False, True])
def test_the_callers_generators_are_not_disturbed(spare):
    def draws(between):
        random.seed(1)
        np.random.seed(2)
        ig.manual_seed(3)
        loader = iter(DataLoader(Noisy(), 8, generator=ig.Generator()))
        if spare:
            np.random.standard_normal()
        out = []
        for _ in range(4):
            if between:
                next(loader)
            out.append((random.random(), np.random.standard_normal(), ig.rand(1).item()))
        return out

    assert draws(True) == draws(False)


def test_a_generator_of_numpys_that_was_exchanged_is_put_back():
    before, other = np.random.get_bit_generator(), np.random.PCG64(1)
    try:
        np.random.set_bit_generator(other)
        state = other.state
        next(iter(DataLoader(Noisy(), 4)))
        assert np.random.get_bit_generator() is other and other.state == state
    finally:
        np.random.set_bit_generator(before)


def test_samplers_and_batch_samplers():
    weights = WeightedRandomSampler([1.0, 0.0, 3.0], 6, generator=ig.Generator())
    for workers in (0, 2):
        loader = DataLoader(Squares(), batch_sampler=[[3, 1], [2], []][:2], num_workers=workers)
        assert [b[1] for b in epochs(loader)[0]] == [[9, 1], [4]]
        assert len(loader) == 2
        picked = epochs(DataLoader(Squares(3), 2, sampler=weights, num_workers=workers))[0]
        assert {x for b in picked for x in b[1]} <= {0, 4}
        split = DistributedSampler(Squares(), num_replicas=2, rank=1, shuffle=False)
        assert len(DataLoader(Squares(), 5, sampler=split, num_workers=workers)) == 5


@pytest.mark.parametrize("workers", WORKERS)
def test_without_batches_examples_come_one_by_one(workers):
    loader = DataLoader(Squares(3), batch_size=None, num_workers=workers)
    examples = list(loader)
    assert [e[1] for e in examples] == [0, 1, 4]
    assert all(isinstance(e[0], ig.Tensor) and e[0].shape == (2,) for e in examples)


class Pair(NamedTuple):
    a: object
    b: object


@pytest.mark.parametrize("workers", [0, 1])
def test_structures_of_examples(workers):
    examples = [{"p": Pair(ig.full((3,), k), float(k)), "name": f"n{k}"} for k in range(5)]
    (batch,) = DataLoader(examples, 5, num_workers=workers)
    assert type(batch["p"]) is Pair and batch["name"] == ["n0", "n1", "n2", "n3", "n4"]
    assert batch["p"].a.shape == (5, 3) and batch["p"].b.dtype is ig.float64


@pytest.mark.parametrize("workers", [0, 2])
def test_a_collate_function_of_ones_own(workers):
    def collate(examples):
        arrays, numbers = zip(*examples, strict=True)
        return ig.tensor(np.stack(arrays)), np.array(numbers), "text"

    loader = DataLoader(Squares(), 10, collate_fn=collate, num_workers=workers)
    for k, (x, y, text) in enumerate(loader):
        assert isinstance(x, ig.Tensor) and isinstance(y, np.ndarray) and text == "text"
        assert y[0] == (10 * k) ** 2 and x[0, 0] == 10 * k


def test_a_batched_fetch_is_used():
    class Several(Squares):
        def __getitems__(self, numbers):
            return [(np.float32(k), len(numbers)) for k in numbers]

    (batch,) = DataLoader(Several(4), 4)
    assert plain(batch) == [[0, 1, 2, 3], [4, 4, 4, 4]]


def test_tensor_datasets_and_subsets():
    x, y = ig.rand(40, 3), ig.arange(40)
    data = Subset(TensorDataset(x, y), list(range(39, -1, -1)))
    for workers in WORKERS:
        got = list(DataLoader(data, 16, num_workers=workers))
        assert ig.cat([b[1] for b in got]).tolist() == list(range(39, -1, -1))
        assert ig.equal(ig.cat([b[0] for b in got]), x.flip(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_rows_that_are_not_there(workers):
    data = TensorDataset(ig.arange(5))
    assert plain(list(DataLoader(data, 3, sampler=[-1, 4, -5], num_workers=workers))) == [
        [[4, 4, 0]]
    ]
    assert plain(list(DataLoader(data, batch_sampler=[[]], num_workers=workers))) == [[[]]]
    for row in (5, -6):
        with pytest.raises(IndexError, match="out of (range|bounds)"):
            list(DataLoader(data, 2, sampler=[0, row], num_workers=workers))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_start_methods_and_persistent_workers(method):
    loader = DataLoader(
        Squares(), 16, num_workers=2, multiprocessing_context=method, persistent_workers=True
    )
    first = epochs(loader, 2)
    pids = {m.process.pid for m in loader._pool.members}
    assert first[0] == first[1] == epochs(DataLoader(Squares(), 16))[0]
    assert {m.process.pid for m in loader._pool.members} == pids


def test_batches_may_be_kept():
    loader = DataLoader(TensorDataset(ig.arange(400_000).reshape(400, 1000)), 10, num_workers=2)
    kept = list(loader)  # 80 kB each: they lie in shared memory
    again = list(loader)
    for k, ((a,), (b,)) in enumerate(zip(kept, again, strict=True)):
        assert a[0, 0] == k * 10_000 and ig.equal(a, b)
    (x,) = kept[0]
    x.add_(1)
    assert x[0, 0] == 1 and again[0][0][0, 0] == 0


def test_worker_info_and_worker_init():
    class Telling(Squares):
        mark = -1

        def __getitem__(self, k):
            info = get_worker_info()
            return info.id, info.num_workers, info.seed, info.dataset.mark

    def init(worker):
        get_worker_info().dataset.mark = 100 + worker

    loader = DataLoader(Telling(6), 1, num_workers=2, worker_init_fn=init)
    rows = [[x.item() for x in batch] for batch in loader]
    assert [r[0] for r in rows] == [0, 1] * 3
    assert {r[1] for r in rows} == {2} and {r[3] - r[0] for r in rows} == {100}
    assert len({r[2] - r[0] for r in rows}) == 1
    assert get_worker_info() is None


def test_gradients_stay_where_they_are():
    leaf = ig.ones(3, requires_grad=True)
    (batch,) = DataLoader([0], 1, collate_fn=lambda _: leaf, num_workers=1)
    assert batch.requires_grad and batch.tolist() == [1, 1, 1]
    with pytest.raises(ig.Error, match=r"detach\(\)"):
        list(DataLoader([0], 1, collate_fn=lambda _: leaf * 2, num_workers=1))
    for dataset in (TensorDataset(leaf), [leaf]):
        (batch,) = next(iter(DataLoader(dataset, 1)))
        assert batch.requires_grad
        with pytest.raises(ig.Error, match=r"detach\(\)"):
            list(DataLoader(dataset, 1, num_workers=1))


def test_compiled_models_run_in_forked_workers():
    model = ig.jit(ig.nn.Linear(2, 3))
    with ig.no_grad():
        expected = model(ig.ones(4, 2)).tolist()

    class Running(Squares):
        def __getitem__(self, k):
            with ig.no_grad():
                return model(ig.ones(4, 2))

    for _ in range(2):
        got = epochs(DataLoader(Running(16), 2, num_workers=4))[0]
        assert got == [[expected, expected]] * 8


# ---------------------------------------------------------------------------------------- iterables


@pytest.mark.parametrize(("workers", "drop_last"), [(0, False), (1, True), (2, False), (2, True)])
def test_iterables(workers, drop_last):
    loader = DataLoader(Counting(), 4, num_workers=workers, drop_last=drop_last)
    batches = [b[0] for b in epochs(loader)[0]]
    if workers == 2:
        evens, odds = list(range(0, 23, 2)), list(range(1, 23, 2))
        expected = [evens[:4], odds[:4], evens[4:8], odds[4:8], evens[8:], odds[8:]]
    else:
        expected = [list(range(k, min(k + 4, 23))) for k in range(0, 23, 4)]
    assert batches == [b for b in expected if not drop_last or len(b) == 4]


def test_an_iterable_with_a_length_that_is_too_short_is_told():
    class Wrong(Counting):
        def __len__(self):
            return 4

    loader = DataLoader(Wrong(8), 2)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="said that it has 4 examples"):
        list(loader)


# ----------------------------------------------------------------------------------------- position


def parts(make, cut, first_workers, second_workers, count=3):
    """Batches of some epochs with a stop after `cut` of them, and without."""
    ig.manual_seed(11)
    whole = epochs(make(first_workers), count)
    ig.manual_seed(11)
    loader, seen = make(first_workers), []
    for _ in range(count):
        for batch in loader:
            seen.append(plain(batch))
            if len(seen) == cut:
                break
        if len(seen) == cut:
            break
    state = pickle.loads(pickle.dumps(loader.state_dict()))  # noqa: S301  # our own
    rng = ig.get_rng_state()
    ig.manual_seed(999)
    other = make(second_workers)
    other.load_state_dict(state)
    ig.set_rng_state(rng)
    while other.state_dict()["epoch"] < count:
        seen += plain(list(other))
    return sum(whole, []), seen


@pytest.mark.parametrize("cut", [1, 4, 7, 10, 14, 17])
@pytest.mark.parametrize("workers", [(0, 2), (2, 0)])
def test_a_position_is_exact_for_any_number_of_workers(cut, workers):
    def make(count):
        return DataLoader(Noisy(), 8, shuffle=True, num_workers=count)

    whole, seen = parts(make, cut, *workers)
    assert seen == whole


@pytest.mark.parametrize(
    "sampler",
    [
        lambda g: RandomSampler(Noisy(), replacement=True, num_samples=30, generator=g),
        lambda g: WeightedRandomSampler(ig.rand(50, generator=ig.Generator()), 30, generator=g),
        lambda g: list(range(40)),
    ],
)
def test_positions_with_samplers_and_a_generator(sampler):
    def make(count):
        generator = ig.Generator().manual_seed(5 + count)
        return DataLoader(
            Noisy(), 8, sampler=sampler(generator), generator=generator, num_workers=count
        )

    for cut in (2, 5, 9):
        whole, seen = parts(make, cut, 0, 1)
        assert seen == whole


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("cut", [1, 3, 6, 8])
def test_positions_of_iterables(workers, cut):
    def make(count):
        return DataLoader(Counting(), 4, num_workers=count)

    whole, seen = parts(make, cut, workers, workers, 2)
    assert seen == whole


@pytest.mark.parametrize("workers", [0, 1])
def test_an_iterables_own_state_is_used(workers):
    whole = epochs(DataLoader(Resumable(), 4, num_workers=workers, generator=ig.Generator()))[0]
    loader = DataLoader(Resumable(), 4, num_workers=workers, generator=ig.Generator())
    batches = iter(loader)
    seen = [plain(next(batches)) for _ in range(2)]
    state = loader.state_dict()
    assert state["streams"] == [{"batches": 2, "state": {"at": 8}}]
    other = DataLoader(Resumable(), 4, num_workers=workers, generator=ig.Generator())
    other.load_state_dict(state)
    assert seen + epochs(other)[0] == whole


def test_asking_for_the_position_changes_nothing():
    def run(ask):
        ig.manual_seed(4)
        loader, out = DataLoader(Noisy(20), 8, shuffle=True), []
        for _ in range(2):
            for batch in loader:
                out += [plain(batch), ig.rand(1).item()]
                if ask:
                    loader.state_dict()
            if ask:
                loader.state_dict()
        return out

    assert run(True) == run(False)


def test_an_epoch_that_is_left_early_is_over():
    loader = DataLoader(Squares(), 8, shuffle=True, num_workers=1, persistent_workers=True)
    next(iter(loader))
    assert loader.state_dict()["epoch"] == 0
    assert len(list(loader)) == 7
    assert loader.state_dict()["epoch"] == 2


def test_states_that_do_not_fit_are_refused():
    with pytest.raises(ig.Error, match="keys"):
        DataLoader(Squares()).load_state_dict({"epoch": 1})
    state = DataLoader(Squares()).state_dict()
    for wrong in ({"batches": -1}, {"batches": "1"}, {"base_seed": 1.5}, {"last": None}):
        with pytest.raises(ig.ArgumentError, match="damaged"):
            DataLoader(Squares()).load_state_dict(state | wrong)
    loader = DataLoader(Counting(), 4, num_workers=2)
    next(iter(loader))
    with pytest.raises(ig.Error, match="2 workers"):
        DataLoader(Counting(), 4).load_state_dict(loader.state_dict())
    with pytest.raises(ig.Error, match="in_order"):
        DataLoader(Squares(), num_workers=2, in_order=False).state_dict()


# ------------------------------------------------------------------------------------------- errors


class Faulty(Squares):
    def __init__(self, how):
        super().__init__(20)
        self.how = how

    def __getitem__(self, k):
        if k == 13:
            if self.how == "key":
                raise KeyError("thirteen")
            if self.how == "ig":
                raise ig.ShapeError("thirteen")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exit":
                os._exit(3)
            time.sleep(60)
        return super().__getitem__(k)


@pytest.mark.parametrize(("how", "kind"), [("key", KeyError), ("ig", ig.ShapeError)])
def test_exceptions_of_the_dataset(how, kind):
    loader = DataLoader(Faulty(how), 4, num_workers=2)
    batches, got = iter(loader), []
    with pytest.raises(kind, match="thirteen") as caught:
        got += batches
    assert len(got) == 3
    text = str(caught.value)
    assert "samples [12, 13, 14, 15], at sample 13" in text and "__getitem__" in text
    assert plain(next(batches))[1][0] == 256


@pytest.mark.parametrize(
    ("how", "said"), [("kill", r"killed by signal 9"), ("exit", "exited with code 3")]
)
@pytest.mark.parametrize("persistent", [False, True])
def test_a_dead_worker_is_told_and_replaced(how, said, persistent):
    dataset = Faulty(how)
    loader = DataLoader(dataset, 4, num_workers=2, persistent_workers=persistent)
    started = time.monotonic()
    with pytest.raises(LoadingError, match=said):
        list(loader)
    assert time.monotonic() - started < 5
    dataset.size = 10
    assert len(list(loader)) == 3


def test_timeout():
    loader = DataLoader(Faulty("sleep"), 4, num_workers=1, timeout=0.3)
    batches = iter(loader)
    with pytest.raises(LoadingError, match="timeout"):
        list(batches)
    os.kill(batches._pool.members[0].process.pid, signal.SIGKILL)


def test_ctrl_c_ends_the_workers_quietly(tmp_path):
    context = multiprocessing.get_context("fork")
    with open(tmp_path / "said", "w+b") as said:
        main = context.Process(target=interrupted, args=(said.fileno(),))
        main.start()
        main.join(30)
        said.seek(0)
        text = said.read().decode()
    assert main.exitcode == 0, text
    assert "Traceback" not in text
    assert all(not os.path.exists(f"/proc/{pid}/fd/0") for pid in text.split())


def interrupted(output):
    os.setpgrp()
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    loader = DataLoader(Slow(100), 1, num_workers=2)
    batches = iter(loader)
    os.write(1, " ".join(str(m.process.pid) for m in batches._pool.members).encode())
    next(batches)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))
    try:
        list(batches)
    except KeyboardInterrupt:
        assert not multiprocessing.active_children()
        os._exit(0)


def in_a_child(target):
    """Run this in a forked process, which must end well."""
    child = multiprocessing.get_context("fork").Process(target=target)
    child.start()
    child.join(30)
    assert child.exitcode == 0


def test_ctrl_c_while_a_worker_is_forked_is_not_lost():
    in_a_child(interrupted_in_a_fork)


def interrupted_in_a_fork():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main = os.getpid()
    os.register_at_fork(before=lambda: os.kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        iter(DataLoader(Squares(), num_workers=1))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_forked_child_has_workers_of_its_own():
    data = TensorDataset(ig.arange(50))
    loader = DataLoader(data, 4, num_workers=1, persistent_workers=True)
    batches = iter(loader)
    first = next(batches)[0].tolist()

    def child():
        with pytest.raises(LoadingError, match="parent"):
            next(batches)
        assert next(iter(loader))[0].tolist() == first

    in_a_child(child)
    assert [first, *(b.tolist() for (b,) in batches)] == [b.tolist() for (b,) in loader]


class Slow(Squares):
    def __getitem__(self, k):
        time.sleep(0.05)
        return k


def test_arguments_that_contradict_each_other():
    cases = [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": 0},
        {"persistent_workers": True},
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"multiprocessing_context": "fork"},
        {"num_workers": 1, "multiprocessing_context": "thread"},
    ]
    for case in cases:
        with pytest.raises(ValueError, match="DataLoader"):
            DataLoader(Squares(), **case)
    for case in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="IterableDataset"):
            DataLoader(Counting(), **case)
    with pytest.raises(TypeError, match="multiprocessing_context"):
        DataLoader(Squares(), num_workers=1, multiprocessing_context=3)
    loader = DataLoader(Squares(), pin_memory=True, pin_memory_device="cpu", shuffle=False)
    with pytest.raises(ValueError, match="batch_size is fixed"):
        loader.batch_size = 3
    assert loader.collate_fn is default_collate
    with pytest.raises(TypeError):
        len(DataLoader(Counting()))


def test_more_workers_than_cores_are_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="workers on"):
            DataLoader(Squares(), num_workers=len(os.sched_getaffinity(0)) + 1)


# -------------------------------------------------------------------------------------------- leaks


def resources():
    gc.collect()
    with open("/proc/self/maps") as file:
        segments = sum("memfd:intaglio" in line for line in file)
    return len(os.listdir("/proc/self/fd")), segments, len(multiprocessing.active_children())


@pytest.mark.parametrize("persistent", [False, True])
def test_nothing_grows_over_epochs(persistent):
    before = resources()
    data = TensorDataset(ig.zeros(60, 3000))
    loader = DataLoader(data, 10, num_workers=2, persistent_workers=persistent)
    list(loader)
    at_first = resources()
    for epoch in range(20):
        batches = iter(loader)
        if epoch % 3:
            next(batches)
        else:
            assert len(list(batches)) == 6
        del batches
    assert resources() == at_first
    assert at_first == before or persistent
    del loader
    assert resources() == before


def test_an_exception_leaves_nothing():
    before = resources()
    for _ in range(4):
        with pytest.raises(KeyError):
            list(DataLoader(Faulty("key"), 4, num_workers=2))
    assert resources() == before
