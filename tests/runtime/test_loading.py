"""Worker processes: order, kept batches, growth, failures, deaths, and nothing left behind."""

import gc
import multiprocessing
import os
import resource
import signal
import time

import numpy as np
import pytest

from intaglio.runtime.loading import ArrayFetcher, Exhausted, Fetcher, LoadingError, Pool
from intaglio.runtime.loading.memory import COPIED, FIRST_BYTES, Ring
from intaglio.runtime.shared import segment_of

F32 = np.dtype(np.float32)


class Fill(Fetcher):
    """A task (n, value) gives f32[n] of that value; a text says what to do instead."""

    def open(self, worker, workers):
        self.worker = worker

    def begin(self, given):
        if given == "fail":
            raise OSError("no beginning")
        self.given = given

    def fetch(self, task, room):
        if task == "raise":
            raise KeyError("of the task")
        if task == "class":

            class Local(Exception):
                pass

            raise Local("it has no name elsewhere")
        if task == "stop":
            raise StopIteration
        if task == "end":
            raise Exhausted
        if task == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "exit":
            os._exit(7)
        if task == "wait":
            time.sleep(60)
        if task == "self":
            return {"worker": self.worker, "given": self.given, "pid": os.getpid()}
        n, value = task
        out = room.empty((n,), F32)
        out[...] = value
        return out


def sizes_of(pool, tasks, **options):
    return [len(batch) for batch in pool.run(tasks, **options)]


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def mapped():
    with open("/proc/self/maps") as file:
        return sum("memfd:intaglio" in line for line in file)


@pytest.fixture(scope="module")
def pool():
    with Pool(Fill(), 2) as made:
        yield made


def test_batches_come_in_the_order_of_their_tasks(pool):
    for count in (0, 1, 5, 100):
        got = [float(batch[0]) for batch in pool.run([(3, k) for k in range(count)])]
        assert got == list(range(count))


def test_workers_take_turns(pool):
    workers = [batch["worker"] for batch in pool.run(["self"] * 5)]
    assert workers[:4] in ([0, 1, 0, 1], [1, 0, 1, 0])
    assert [b["given"] for b in pool.run(["self"] * 2, begin={"epoch": 3})] == [{"epoch": 3}] * 2


def test_a_batch_that_is_kept_is_never_written_again(pool):
    size = FIRST_BYTES // 8  # lent, not copied
    assert size * 4 > COPIED
    kept = list(pool.run([(size, k) for k in range(40)]))
    assert len(list(pool.run([(size, -1)] * 20))) == 20
    assert all((batch == k).all() for k, batch in enumerate(kept))
    assert all(segment_of(batch) is None for batch in kept)  # nobody may hand it on
    views = [batch[5:6] for batch in kept]
    del kept
    assert len(list(pool.run([(size, -2)] * 20))) == 20
    assert [float(v[0]) for v in views] == list(range(40))


def test_slots_are_used_again(pool):
    size = FIRST_BYTES // 8
    for batch in pool.run([(size, 1)] * 30):
        assert batch[0] == 1
    before = mapped()
    for batch in pool.run([(size, 1)] * 200):
        assert batch[0] == 1
    assert mapped() == before


def test_a_batch_larger_than_its_slot_gets_another(pool):
    sizes = [10, FIRST_BYTES, 3, 2 * FIRST_BYTES + 1, 0, FIRST_BYTES // 4, 3 * FIRST_BYTES] * 2
    kept = list(pool.run([(n, n) for n in sizes]))
    assert [len(batch) for batch in kept] == sizes
    assert all((batch == n).all() for n, batch in zip(sizes, kept, strict=True))


def test_what_is_lent_at_a_fork_stays_as_it_is():
    with Pool(Fill(), 1, prefetch=1) as pool:
        run = pool.run([(COPIED, k) for k in range(12)])
        lent = next(run)
        child = multiprocessing.get_context("fork").Process(target=check_later, args=(lent, 0.0))
        child.start()
        del lent
        assert [float(batch[0]) for batch in run] == list(range(1, 12))
        child.join(30)
        assert child.exitcode == 0


def check_later(batch, value):
    time.sleep(0.3)
    os._exit(0 if (batch == value).all() else 1)


def test_an_exception_keeps_its_class_and_tells_the_workers_story(pool):
    run = pool.run([(1, 0), "raise", (1, 2)])
    assert next(run)[0] == 0
    with pytest.raises(KeyError, match="of the task") as caught:
        next(run)
    text = str(caught.value)
    assert "loader worker" in text and "task 'raise'" in text and "in fetch\n" in text
    assert next(run)[0] == 2
    with pytest.raises(StopIteration):
        next(run)


@pytest.mark.parametrize("task", ["class", "stop"])
def test_what_can_not_be_raised_here_is_told(pool, task):
    with pytest.raises(LoadingError, match="Local|StopIteration"):
        list(pool.run([task]))


def test_a_failing_beginning_fails_every_task_of_its_run(pool):
    run = pool.run(["self"] * 2, begin="fail")
    for _ in range(2):
        with pytest.raises(OSError, match="no beginning"):
            next(run)
    assert [b["given"] for b in pool.run(["self"])] == [None]


def test_failing_tasks_are_told_behind_the_batches_before_them(pool):
    def tasks():
        yield (1, 5)
        raise ZeroDivisionError

    run = pool.run(tasks())
    assert next(run)[0] == 5
    with pytest.raises(ZeroDivisionError):
        next(run)


def test_a_run_that_is_begun_ends_the_one_before(pool):
    first = pool.run([(FIRST_BYTES // 8, 0)] * 10)
    next(first)
    assert [float(batch[0]) for batch in pool.run([(2, 1), (2, 2)])] == [1, 2]
    with pytest.raises(LoadingError, match="another run"):
        next(first)


def test_a_worker_that_has_no_more_is_left_out(pool):
    kinds = ["self", "self", "end", "self", "self", "self"]
    assert len(list(pool.run(kinds))) == 5
    assert list(pool.run(["end"] * 9)) == []


def test_unordered_batches_do_not_wait_for_a_slow_one():
    with Pool(Sleepy(), 2, prefetch=1) as pool:
        order = list(pool.run([0.5, 0.01, 0.02, 0.03], ordered=False))
    assert sorted(order) == [0.01, 0.02, 0.03, 0.5]
    assert order[0] == 0.01


class Sleepy(Fetcher):
    def fetch(self, task, room):
        time.sleep(task)
        return task


@pytest.mark.parametrize(
    ("task", "how"),
    [("kill", r"was killed by signal 9 \(SIGKILL\)"), ("exit", "exited with code 7")],
)
def test_a_dead_worker_is_an_error_that_names_it(task, how):
    pool = Pool(Fill(), 2)
    run = pool.run([(1, 0), task, (1, 2), (1, 3)])
    assert next(run)[0] == 0
    pid, started = pool.members[1].process.pid, time.monotonic()
    with pytest.raises(LoadingError, match=rf"\(pid {pid}\) {how}"):
        list(run)
    assert time.monotonic() - started < 3
    assert pool.closed
    with pytest.raises(LoadingError, match="ended"):
        pool.run([(1, 0)])


def test_a_worker_that_is_too_slow_runs_past_the_timeout():
    with Pool(Fill(), 1, timeout=0.2) as pool:
        run = pool.run(["wait"])
        with pytest.raises(LoadingError, match=r"timeout of 0\.2 seconds"):
            next(run)
        os.kill(pool.members[0].process.pid, signal.SIGKILL)


def test_workers_end_when_the_main_process_is_killed():
    near, far = multiprocessing.get_context("fork").Pipe()
    main = multiprocessing.get_context("fork").Process(target=tell_and_wait, args=(far,))
    main.start()
    pids = near.recv()
    os.kill(main.pid, signal.SIGKILL)
    main.join()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}/fd/0") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tell_and_wait(pipe):
    pool = Pool(Fill(), 2)
    pipe.send([batch["pid"] for batch in pool.run(["self"] * 2)])
    time.sleep(60)


def test_objects_without_arrays_and_objects_around_arrays():
    batch = {"text": ["a", "b"], "at": (np.arange(3), "x"), "bytes": b"1", "none": None}
    with Pool(Give(batch), 1) as pool:
        for got in pool.run(range(3)):
            assert got["text"] == ["a", "b"] and got["bytes"] == b"1" and got["none"] is None
            assert got["at"][1] == "x" and got["at"][0].tolist() == [0, 1, 2]


def test_every_dtype_and_layout_arrives_and_one_array_stays_one():
    import ml_dtypes

    x = np.arange(12.0).reshape(3, 4)
    arrays = [
        x.T,
        x[::2],
        np.float32(x),
        x.astype(ml_dtypes.bfloat16),
        np.array(["é", "bc"]),
        np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
        np.zeros((0, 3), bool),
        np.array([None, "o"], object),
        np.array(7, np.uint64),
    ]
    with Pool(Give((arrays, [x, x])), 1) as pool:
        ((got, (one, two)),) = pool.run([0])
    assert one is two or np.shares_memory(one, two)
    for a, b in zip(arrays, got, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
        assert b.flags.writeable


class Give(Fetcher):
    def __init__(self, batch):
        self.batch = batch

    def fetch(self, task, room):
        return self.batch


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_rows_of_arrays(method, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(300.0).reshape(100, 3))
    arrays = [np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(100)]
    with Pool(ArrayFetcher(arrays), 2, context=multiprocessing.get_context(method)) as pool:
        rows = [np.arange(k, k + 10)[::-1] for k in range(0, 100, 10)]
        got = list(pool.run(rows))
    assert [y.tolist() for _, y in got] == [r.tolist() for r in rows]
    assert (
        np.concatenate([x for x, _ in got]).tobytes() == arrays[0][np.concatenate(rows)].tobytes()
    )


def test_messages_larger_than_a_socket_takes():
    text = "x" * (1 << 21)
    with Pool(Give(text), 2) as pool:
        assert list(pool.run([text] * 6)) == [text] * 6
        began = time.monotonic()
        assert list(pool.run([text] * 6, ordered=False)) == [text] * 6
        assert time.monotonic() - began < 5, "seconds; 10 messages' parts wait for room"


def test_no_room_for_descriptors_is_told():
    """The batch is larger than its slot, and this process may take no descriptor of another."""
    limits, opened = resource.getrlimit(resource.RLIMIT_NOFILE), []
    with Pool(Fill(), 1) as pool:
        assert sizes_of(pool, [(1, 1)]) == [1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
            with pytest.raises(OSError, match="Too many"):
                while True:
                    opened.append(os.dup(0))
            with pytest.raises(LoadingError, match="ulimit -n"):
                sizes_of(pool, [(FIRST_BYTES, 1)])
            assert pool.closed
        finally:
            for descriptor in opened:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_nothing_is_left_behind():
    gc.collect()
    before = descriptors(), mapped(), len(multiprocessing.active_children())
    for k in range(12):
        pool = Pool(Fill(), 2)
        run = pool.run([(FIRST_BYTES // 8, 1), "raise", (FIRST_BYTES * 2, 1)] * 3)
        next(run)
        if k % 3 == 0:
            pool.close()
        elif k % 3 == 1:
            with pytest.raises(KeyError):
                list(run)
        del pool, run
    gc.collect()
    assert (descriptors(), mapped(), len(multiprocessing.active_children())) == before


def test_a_ring_keeps_account_of_what_grows_and_goes():
    ring = Ring(2)
    one, two = ring.take(), ring.take()
    lent = ring.lend(one, 100)
    view = lent[3:]
    del lent
    three = ring.take()  # two more are made, as `view` holds the first
    assert len(ring.segments) == 2 and three.key == 1
    ring.fit(FIRST_BYTES * 3)
    ring.give_back(two)
    del view
    ring.collect()
    assert list(ring.segments) == [1]
    ring.give_back(three)
    assert not ring.segments
    assert ring.take().size >= FIRST_BYTES * 3
