"""Tensors in memory that processes share: through queues, pipes and arguments, for modules and
compiled functions, and what becomes of them when a process ends."""

import gc
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.multiprocessing as mp
from intaglio import nn
from intaglio.nn._buffer import Buffer
from intaglio.runtime import handing
from intaglio.runtime.handing import SenderGoneError

METHODS = ["fork", "spawn"]
WAIT = 60
"""Seconds after which a test fails rather than waits."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mapped() -> int:
    """How many segments this process maps."""
    return Path("/proc/self/maps").read_text().count("memfd:intaglio")


def private_bytes() -> int:
    """This process's memory that is its own."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(x.split()[1]) << 10 for x in lines if x.startswith("Private_"))


def started(method: str, target: Any, *args: Any) -> Any:
    process = mp.get_context(method).Process(target=target, args=args, daemon=True)
    process.start()
    return process


def ended(process: Any, code: int = 0) -> None:
    process.join(WAIT)
    assert process.exitcode == code


# ------------------------------------------------------------------------------------ one process


def test_views_follow_into_shared_memory() -> None:
    x = ig.arange(12.0).reshape(3, 4)
    row, column, plain, array = x[1], x.t()[2], x.detach(), x.numpy()
    same = ig.from_numpy(array)
    assert not x.is_shared()
    assert row.share_memory_() is row
    assert all(t.is_shared() for t in (x, row, column, plain, same))
    x[1, 2] = 100
    assert (row[2].item(), column[1].item(), plain[1, 2].item(), same[1, 2].item()) == (100,) * 4
    assert array[1, 2] == 6  # the array keeps the memory that was left
    column.zero_()
    assert x[:, 2].tolist() == [0, 0, 0]
    place = x.data_ptr()
    assert x.share_memory_().data_ptr() == place
    assert (row.stride(), column.stride()) == ((1,), (4,))


def test_frozen_tensors_are_shared_too() -> None:
    """`gc.freeze()`, as is called before a fork, hides objects from the collector's list."""
    x = ig.zeros(4)
    part = x[1:]
    gc.freeze()
    try:
        part.share_memory_()
    finally:
        gc.unfreeze()
    x[2] = 5
    assert x.is_shared() and part.is_shared() and part[1].item() == 5


def test_what_can_be_shared() -> None:
    for x in (
        ig.tensor(3.5),
        ig.zeros(0, 3),
        ig.ones(3, dtype=ig.bfloat16),
        ig.tensor([True, False]),
        ig.ones(2, 1).expand(2, 3),
        ig.rand(300, 300),
        ig.arange(6).reshape(2, 3).t(),
        ig.from_numpy(np.arange(6)[::-1]),
        nn.Parameter(ig.ones(3)),
    ):
        before, layout = x.tolist(), x.stride()
        assert x.share_memory_().is_shared()
        assert (x.tolist(), x.stride()) == (before, layout)


def test_read_only_memory_is_copied() -> None:
    array = np.arange(4.0)
    array.flags.writeable = False
    x = ig.from_numpy(array).share_memory_()
    x.add_(1)
    assert (x.tolist(), array.tolist()) == ([1, 2, 3, 4], [0, 1, 2, 3])


def test_compiled_functions_follow_into_shared_memory() -> None:
    w = nn.Parameter(ig.ones(3))
    optimizer = ig.optim.SGD([w], lr=1.0, momentum=0.5)
    doubled, whole = ig.jit(lambda: (w * 2).detach()), ig.from_numpy(np.arange(3.0))
    array = memoryview(whole.numpy())
    part = ig.frombuffer(array, dtype=ig.float64)
    for k in range(8):
        w.grad = ig.ones(3)
        optimizer.step()
        if k == 5:
            place = w.data_ptr()
            w.share_memory_()
            assert w.data_ptr() != place
        assert doubled().tolist() == (w * 2).tolist()
    assert doubled.compilations == 1
    part.share_memory_()
    whole[1] = 7
    assert part.tolist() == [0, 7, 2]


def test_sharing_is_refused_inside_a_trace() -> None:
    weight = ig.ones(2)
    with pytest.raises(ig.TraceError, match="before the traced function"):
        ig.jit(lambda x: x * weight.share_memory_())(ig.ones(2))


def test_a_module_lies_in_one_segment() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    model[2].bias = model[1].bias = nn.Parameter(ig.zeros(4))
    tied = nn.Parameter(model[0].weight)
    before = mapped()
    assert model.share_memory() is model
    assert mapped() == before + 1
    assert all(t.is_shared() for t in (*model.parameters(), *model.buffers(), tied))
    assert tied.data_ptr() == model[0].weight.data_ptr()


def test_small_tensors_share_descriptors() -> None:
    before = descriptors()
    many = [ig.full((16,), float(k)).share_memory_() for k in range(10_000)]
    assert descriptors() - before <= 4
    assert many[7777].tolist() == [7777.0] * 16
    del many
    gc.collect()
    assert descriptors() - before <= 2


def test_a_tape_notices_what_it_noticed_before() -> None:
    w = ig.ones(3, requires_grad=True)
    y = (w * w).sum()
    w.share_memory_()
    y.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2, 2, 2]
    y = (w * w).sum()
    with ig.no_grad():
        w.add_(1)
    with pytest.raises(ig.GradientError):
        y.backward()


# ------------------------------------------------------------------------------------ two processes


def write_and_return(given: Any, answers: Any) -> None:
    """Add one to all that comes, and send it back, until None comes."""
    while (x := given.get()) is not None:
        with ig.no_grad():
            x.add_(1)
        answers.put(x)


def send_many(given: Any, answers: Any, count: int) -> None:
    """Send tensors to a child and back; as many descriptors and segments are there afterwards."""
    assert handing.pending() == 0
    before = descriptors(), mapped()
    for k in range(count):
        given.put(ig.full((10,), float(k)))
    for k in range(count):
        assert answers.get(timeout=WAIT)[0].item() == k + 1
    gc.collect()
    assert (descriptors(), mapped()) == before
    assert handing.pending() == 0


@pytest.mark.parametrize("method", METHODS)
def test_queues_both_ways(method: str) -> None:
    context = mp.get_context(method)
    given, answers = context.Queue(), context.Queue()
    child = started(method, write_and_return, given, answers)
    whole = ig.zeros(4, 6)
    part = whole[1:3, ::2].t()
    given.put(part)
    back = answers.get(timeout=WAIT)
    assert (tuple(back.shape), back.stride()) == ((3, 2), part.stride())
    assert back.data_ptr() == part.data_ptr()
    assert whole.sum().item() == 6
    weight = nn.Parameter(ig.zeros(2))
    weight.tag = "kept"
    given.put(weight)
    back = answers.get(timeout=WAIT)
    assert (type(back), back.requires_grad, back.tag) == (nn.Parameter, True, "kept")
    assert weight.tolist() == [1, 1]
    given.put(Buffer(ig.zeros(2), persistent=False))
    assert answers.get(timeout=WAIT).persistent is False
    send_many(given, answers, 1000)
    given.put(None)
    ended(child)


def step_with(model: Any, optimizer: Any, pipe: Any) -> None:
    """A training step on what comes through the pipe."""
    x = pipe.recv()
    loss = model(x).square().sum()
    loss.backward()
    optimizer.step()
    pipe.send((model[0].weight is model[1].weight, loss.detach()))
    pipe.recv()


def tied_model() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize("method", METHODS)
def test_models_and_optimizers_are_arguments(method: str) -> None:
    model = tied_model().share_memory()
    optimizer = ig.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    here, there = mp.get_context(method).Pipe()
    child = started(method, step_with, model, optimizer, there)
    expected = tied_model()
    expected.load_state_dict({k: v.clone() for k, v in model.state_dict().items()})
    other = ig.optim.SGD(expected.parameters(), lr=0.5, momentum=0.9)
    x = ig.rand(2, 3)
    here.send(x)
    loss = expected(x).square().sum()
    loss.backward()
    other.step()
    tied, found = here.recv()
    assert tied
    assert found.tolist() == loss.tolist()
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        assert ours.tolist() == theirs.tolist()
    here.send(None)
    ended(child)


def test_a_generator_is_sent_as_a_copy() -> None:
    context = mp.get_context("fork")
    here, there = context.Pipe()
    generator = ig.Generator().manual_seed(5)
    ig.rand(3, generator=generator)
    here.send(generator)
    other = there.recv()
    assert ig.rand(3, generator=other).tolist() == ig.rand(3, generator=generator).tolist()


def test_what_is_not_sent() -> None:
    here, there = mp.Pipe()
    w = ig.ones(3, requires_grad=True)
    with pytest.raises(ig.GradientError, match=r"send detach\(\)"):
        here.send(w * 2)
    with ig.no_grad():
        here.send(w * 2)
    assert there.recv().tolist() == [2, 2, 2]


def train_compiled(model: Any, x: Any, steps: int, ready: Any, go: Any) -> None:
    """Compiled local steps on a shared model."""
    ig.set_num_threads(1)
    optimizer = ig.optim.SGD(model.parameters(), lr=0.001)

    @ig.jit
    def step(x: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    step(x)
    ready.release()
    go.wait(WAIT)
    for _ in range(steps):
        step(x)


def test_compiled_steps_write_to_one_model() -> None:
    context = mp.get_context("fork")
    model, x = nn.Linear(4, 1).share_memory(), ig.rand(8, 4).share_memory_()
    evaluate = ig.jit(lambda: (model(x) - 1).square().mean())
    before = evaluate().item()
    ready, go = context.Semaphore(0), context.Event()
    children = [started("fork", train_compiled, model, x, 300, ready, go) for _ in range(2)]
    for _ in children:
        assert ready.acquire(timeout=WAIT)
    middle = evaluate().item()
    go.set()
    for child in children:
        ended(child)
    after = evaluate().item()
    assert after < middle < before
    assert evaluate.compilations == 1
    assert after == (model(x) - 1).square().mean().item()


def measure(x: Any, answers: Any) -> None:
    before = private_bytes()
    total = float(x.numpy()[:: 1 << 10].sum())
    answers.put((total, private_bytes() - before))


def check_large(method: str, mebibytes: int) -> int:
    """Hand a tensor to a child, which reads all of it; the bytes that became the child's own."""
    x = ig.ones(mebibytes << 18).share_memory_()
    answers = mp.get_context(method).Queue()
    child = started(method, measure, x, answers)
    total, extra = answers.get(timeout=WAIT)
    ended(child)
    assert total == mebibytes << 8
    assert extra < 10 << 20
    return extra


def test_a_large_tensor_takes_no_memory_of_the_receiver() -> None:
    check_large("spawn", 64)


# -------------------------------------------------------------------------------- ends of processes


def keep(given: Any, ready: Any) -> None:
    x = given.get()
    x.add_(1)
    ready.release()
    time.sleep(WAIT)


def check_kills(rounds: int, mebibytes: int) -> None:
    """Hand tensors to children that are killed; nothing stays mapped or open."""
    context = mp.get_context("fork")
    ig.zeros(1).share_memory_()  # what small tensors lie in stays open
    before: tuple[int, int] | None = None
    for _ in range(rounds):
        given, ready = context.Queue(), context.Semaphore(0)
        child = started("fork", keep, given, ready)
        x = ig.zeros(mebibytes << 18)
        given.put(x)
        assert ready.acquire(timeout=WAIT)
        os.kill(child.pid, signal.SIGKILL)
        ended(child, -signal.SIGKILL)
        assert x[0].item() == 1
        given.close()
        given.join_thread()
        child.close()
        del x, given, ready, child
        gc.collect()
        assert handing.pending() == 0
        if before is None:  # the first round opens what all of them use
            before = descriptors(), mapped()
        assert (descriptors(), mapped()) == before


def test_a_killed_receiver_leaves_nothing() -> None:
    check_kills(3, 16)


def send_and_wait(answers: Any) -> None:
    answers.put(ig.ones(3))
    time.sleep(WAIT)


def send_and_end(answers: Any) -> None:
    answers.put(ig.ones(3))


def test_a_sender_that_is_gone_is_an_error() -> None:
    answers = mp.get_context("fork").Queue()
    child = started("fork", send_and_wait, answers)
    assert answers._poll(WAIT)  # the message is there, and not read yet
    os.kill(child.pid, signal.SIGKILL)
    ended(child, -signal.SIGKILL)
    with pytest.raises(SenderGoneError, match=f"process {child.pid} sent is gone"):
        answers.get(timeout=WAIT)


def test_an_ending_sender_waits_for_the_receiver() -> None:
    answers = mp.get_context("fork").Queue()
    child = started("fork", send_and_end, answers)
    assert answers._poll(WAIT)
    time.sleep(0.3)
    assert answers.get(timeout=WAIT).tolist() == [1, 1, 1]
    ended(child)


def test_a_fork_fills_segments_of_its_own() -> None:
    x = ig.zeros(4).share_memory_()
    answers = mp.get_context("fork").Queue()
    child = started("fork", send_and_wait, answers)
    theirs = answers.get(timeout=WAIT)
    y = ig.zeros(4).share_memory_()
    child.kill()
    assert (x.tolist(), y.tolist(), theirs.tolist()) == ([0] * 4, [0] * 4, [1] * 3)


# -------------------------------------------------------------------------------------------- spawn


def put_number(number: int, found: Any) -> None:
    found[number] = number + 1


def fail(number: int) -> None:
    if number == 1:
        raise ValueError("odd number")
    time.sleep(WAIT)


def exit_with(number: int, code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def fail_at_length(number: int) -> None:
    raise ValueError("\u6f22" * 40_000 + " the end")


def test_a_long_error_does_not_fill_the_pipe() -> None:
    """Nobody reads it before the process has ended. In UTF-8 it is three times as long."""
    with pytest.raises(mp.ProcessRaisedException, match="\u6f22 the end"):
        mp.start_processes(fail_at_length, start_method="fork")


@pytest.mark.parametrize("method", METHODS)
def test_processes_with_numbers(method: str) -> None:
    found = ig.zeros(2).share_memory_()
    assert mp.start_processes(put_number, (found,), nprocs=2, start_method=method) is None
    assert found.tolist() == [1, 2]


def test_a_failure_is_raised_and_stops_the_others() -> None:
    context = mp.start_processes(fail, nprocs=3, join=False, start_method="fork")
    assert context is not None
    with pytest.raises(mp.ProcessRaisedException, match=r"process 1 .*(.|\n)*odd number") as caught:
        while not context.join(timeout=WAIT):
            pass
    assert (caught.value.error_index, caught.value.error_pid) == (1, context.pids()[1])
    assert not any(p.is_alive() for p in context.processes)
    with pytest.raises(mp.ProcessExitedException, match="exit code 7") as exited:
        mp.start_processes(exit_with, (7,), start_method="fork")
    assert exited.value.exit_code == 7
    with pytest.raises(mp.ProcessExitedException, match="SIGKILL") as killed:
        mp.start_processes(exit_with, (-9,), start_method="fork")
    assert killed.value.signal_name == "SIGKILL"


def test_strategies() -> None:
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(ig.ArgumentError, match="leave the call away"):
        mp.set_sharing_strategy("file_system")


def test_all_of_multiprocessing_is_there() -> None:
    import multiprocessing

    assert all(hasattr(mp, name) for name in multiprocessing.__all__)


def square(x: ig.Tensor) -> ig.Tensor:
    return x * x


def test_a_pool_of_workers() -> None:
    with mp.get_context("fork").Pool(2) as pool:
        found = pool.map(square, [ig.tensor(float(k)) for k in range(5)])
    assert [x.item() for x in found] == [0, 1, 4, 9, 16]
