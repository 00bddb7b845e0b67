"""Random loaders give the same batches for every number of workers and go on from any position;
signals at random moments leave nothing behind."""

import gc
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
from intaglio.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
)
from intaglio.runtime.loading import LoadingError


class Nests(Dataset[Any]):
    """Examples of many kinds; some numbers are bad."""

    KINDS = "tifsaenbhrpq"

    def __init__(self, size: int, kinds: str, bad: frozenset[int] = frozenset(), width: int = 3):
        self.size, self.kinds, self.bad, self.width = size, kinds, bad, width

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, k: int) -> Any:
        if k in self.bad:
            raise (ValueError if k % 2 else KeyError)(f"bad {k}")
        return {kind: self.part(kind, k) for kind in self.kinds}

    def part(self, kind: str, k: int) -> Any:
        match kind:
            case "t":
                return ig.full((self.width,), float(k))
            case "i":
                return k
            case "f":
                return k / 7
            case "s":
                return f"row \u00e9 {k}"
            case "a":
                return np.arange(k, k + 4, dtype=np.int16).reshape(2, 2)
            case "e":
                return np.zeros((0, 2), np.float32)
            case "n":
                return [(k, str(k)), {"z": ig.tensor(k % 5 == 0)}]
            case "b":
                return bytes([k % 256])
            case "h":
                return ig.full((2,), float(k)).to(ig.bfloat16)
            case "r":
                return ig.rand(2)
            case "p":
                return random.random()
        return np.random.rand(3)


class Shares(IterableDataset[Any]):
    """Every worker's share of some numbers."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Any:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for k in range(first, self.size, step):
            yield k, ig.rand(2), str(k)


def flat(value: Any) -> Any:
    """A batch as something to compare."""
    if isinstance(value, ig.Tensor):
        return "tensor", str(value.dtype), tuple(value.shape), value._data.tobytes()
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: flat(part) for name, part in value.items()}
    return type(value)(map(flat, value)) if isinstance(value, tuple | list) else value


def drained(batches: Any) -> list[Any]:
    """What is left of an epoch, exceptions by the example that failed."""
    found = []
    while True:
        try:
            found.append(flat(next(batches)))
        except StopIteration:
            return found
        except (ValueError, KeyError) as error:
            found.append((type(error), re.findall(r"bad \d+", str(error))[-1:]))


def drawn_dataset(draw: random.Random, size: int) -> Any:
    """A dataset of some kind."""
    tensors = TensorDataset(ig.arange(size * 2).reshape(size, 2).float(), ig.arange(size))
    kind = draw.random()
    if kind < 0.2:
        return Shares(size)
    if kind < 0.4:
        return tensors
    if kind < 0.5:
        return Subset(tensors, [draw.randrange(-size, size) for _ in range(size)])
    share = draw.choice([0, 0, 0.1])
    bad = frozenset(k for k in range(size) if draw.random() < share)
    kinds = "".join(draw.sample(Nests.KINDS, draw.randint(1, 5)))
    return Nests(size, kinds, bad, draw.choice([3, 3, 9000]))


def drawn_options(draw: random.Random, dataset: Any, size: int) -> dict[str, Any]:
    """How it is cut."""
    made = {"batch_size": draw.choice([1, 2, 3, 8, 100]), "drop_last": draw.random() < 0.3}
    if isinstance(dataset, Shares) or not size:
        return made
    kind = draw.random()
    if kind < 0.4:
        made["shuffle"] = True
    elif kind < 0.5:
        made["sampler"] = [draw.randrange(size) for _ in range(draw.randrange(30))]
    elif kind < 0.6:
        lengths = [draw.randrange(1, 5) for _ in range(draw.randrange(12))]
        return {"batch_sampler": [[draw.randrange(size) for _ in range(n)] for n in lengths]}
    elif kind < 0.65:
        return {"batch_size": None}
    return made


def loader(number: int) -> None:
    """One random loader, without workers, with some, and resumed with others."""
    draw = random.Random(number)
    size = draw.choice([0, 1, 2, 7, 20, 61])
    dataset = drawn_dataset(draw, size)
    options = drawn_options(draw, dataset, size)
    own = draw.random() < 0.4
    workers = draw.choice([1, 2, 3, 4])

    def made(count: int) -> DataLoader[Any]:
        given = dict(options)
        if own:
            given["generator"] = ig.Generator().manual_seed(11)
        if count:
            given |= {"num_workers": count, "prefetch_factor": draw.choice([None, 1, 2, 5]),
                      "persistent_workers": draw.random() < 0.5}  # fmt: skip
        return DataLoader(dataset, **given)

    def epochs(count: int) -> list[list[Any]]:
        ig.manual_seed(number)
        made_now = made(count)
        return [drained(iter(made_now)) for _ in range(2)]

    shares = isinstance(dataset, Shares)
    expected = epochs(workers if shares else 0)
    assert epochs(workers) == expected
    if any(type(b) is tuple and b and isinstance(b[0], type) for b in expected[0]):
        return
    cut = draw.randrange(len(expected[0]) + 1)
    ig.manual_seed(number)
    first = made(workers)
    batches = iter(first)
    for _ in range(cut):
        next(batches)
    state, stream = json.loads(json.dumps(first.state_dict())), ig.get_rng_state()
    ig.manual_seed(999)
    again = made(workers if shares else draw.choice([0, 1, 3]))
    again.load_state_dict(state)
    ig.set_rng_state(stream)
    assert [drained(iter(again)) for _ in range(2)] == [expected[0][cut:], expected[1]]


ENDLESS = """
import sys
from intaglio.data import DataLoader
from tests.long.chaos_loaders import Nests
data = Nests({size}, "ti", width={width})
loader = DataLoader(data, 2, num_workers=2, persistent_workers={keeps})
print("ready", flush=True)
while True:
    for batch in loader:
        pass
"""


def signalled(number: int) -> None:
    """A process with loaders, or its whole group, or one of its workers, gets a signal."""
    draw = random.Random(number)
    if number % 3 == 0:
        worker_killed(draw)
        return
    code = ENDLESS.format(
        size=draw.choice([4, 100]), width=draw.choice([3, 12_000]), keeps=draw.random() < 0.5
    )
    sent = draw.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None and run.stdout.readline()
        time.sleep(draw.random() * 0.5)
        (os.killpg if draw.random() < 0.6 else os.kill)(run.pid, sent)
        try:
            told = run.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            raise
    assert run.returncode == -sent, (sent, told)
    assert "loader-" not in told, told
    gone_by = time.monotonic() + 30
    while living(run.pid):
        assert time.monotonic() < gone_by, living(run.pid)
        time.sleep(0.05)


def living(group: int) -> list[int]:
    """The processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


def worker_killed(draw: random.Random) -> None:
    """One worker of this process is killed; what was handed out before is right, and the loader can
    be used again."""
    dataset = Nests(60, "tisr", width=4000)
    ig.manual_seed(3)
    expected = drained(iter(DataLoader(dataset, 7, shuffle=True)))
    ig.manual_seed(3)
    loader = DataLoader(dataset, 7, shuffle=True, num_workers=2)
    batches = iter(loader)
    victim = draw.choice(multiprocessing.active_children())
    found = []
    at = draw.randrange(10)
    try:
        for k, batch in enumerate(batches):
            if k == at and victim.pid:
                os.kill(victim.pid, signal.SIGKILL)
            found.append(flat(batch))
    except LoadingError as error:
        assert "SIGKILL" in str(error)
    assert found == expected[: len(found)]
    assert len(list(loader)) == 9


def resources() -> tuple[int, int, int]:
    """Descriptors, shared segments and children of this process."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    children = len(multiprocessing.active_children())
    return len(os.listdir("/proc/self/fd")), maps.count("memfd:intaglio"), children
