"""What fails says where in the author's code, also from a file whose source is gone, and leaves
every state as it was."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from tests.acceptance.models import Task, bits, codes, numbers, save

AUTHOR = """\
import sys
import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(7, 4), nn.Linear(4, 3)

    def forward(self, ids, other):
        h = self.table(ids)
        h = h + other
        return self.out(h)


model = Net()
opt = optim.Adam(model.parameters())


def train_step(ids, other, t):
    opt.zero_grad()
    loss = F.cross_entropy(model(ids, other), t)
    loss.backward()
    opt.step()
    return loss


n, m = ig.Dim("n", max=64), ig.Dim("m", max=64)
ids, other, t = ig.spec((n,), ig.int64), ig.spec((m, 4)), ig.spec((n,), ig.int64)
program = ig.trace(model, ids, other)
program.trace("train_step", train_step, ids, other, t)
program.save(sys.argv[1])
"""
USER = """\
import json, sys
import numpy as np
from intaglio.runtime import load

m = load(sys.argv[1])
ids, other, t = np.arange(5), np.ones((5, 4), np.float32), np.zeros(5, np.int64)
assert m(ids, other).shape == (5, 3)
told = {}


def fails(name, f, *args):
    try:
        f(*args)
    except Exception as error:
        told[name] = [type(error).__name__, str(error)]


fails("index", m, np.array([0, 1, 7, 2, 3]), other)
fails("negative", m, np.array([0, 1, -1, 2, 3]), other)
fails("sizes", m, ids, np.ones((4, 4), np.float32))
fails("target", m.train_step, ids, other, np.array([0, 1, 2, 3, 0]))
fails("shape", m, ids, np.ones((5, 3), np.float32))
print(json.dumps(told))
"""


def test_errors_of_a_file_name_the_author_s_lines(tmp_path: Path) -> None:
    source, user, path = tmp_path / "net.py", tmp_path / "use.py", tmp_path / "net.ig"
    source.write_text(AUTHOR)
    user.write_text(USER)
    subprocess.run([sys.executable, source, path], check=True, timeout=300)
    source.unlink()
    made = subprocess.run(
        [sys.executable, user, path], check=True, timeout=300, capture_output=True, text=True
    )
    told = json.loads(made.stdout)
    lines = AUTHOR.splitlines()
    looked_up = lines.index("        h = self.table(ids)") + 1
    added = lines.index("        h = h + other") + 1
    loss = lines.index("    loss = F.cross_entropy(model(ids, other), t)") + 1
    for name, value in (("index", "7"), ("negative", "-1")):
        kind, text = told[name]
        assert kind == "IndexError" and f"net.py:{looked_up} in Net.table" in text and value in text
    kind, text = told["sizes"]
    assert kind == "ShapeError" and f"net.py:{added} in Net" in text and "5" in text and "4" in text
    kind, text = told["target"]
    assert kind == "IndexError" and f"net.py:{loss}" in text and "cross_entropy" in text
    kind, text = told["shape"]
    assert kind == "ShapeError" and "other" in text


def test_errors_name_op_types_rule_and_line() -> None:
    with pytest.raises(ig.ShapeError) as caught:
        ig.ones(2, 3) @ ig.ones(2, 3)
    text = str(caught.value)
    assert "matmul" in text and "f32[2,3]" in text and "3 and 2" in text
    assert Path(__file__).name in text
    with pytest.raises(IndexError, match=Path(__file__).name):
        F.embedding(ig.tensor([0, 3]), ig.ones(3, 2))
    with pytest.raises(IndexError, match=Path(__file__).name):
        ig.jit(F.embedding)(ig.tensor([0, 3]), ig.ones(3, 2))


# ------------------------------------------------------------------------------ failing train steps


class Lookup(nn.Module):
    """Embeds codes and scores them."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(7, 4), nn.Linear(4, 7)
        self.register_buffer("seen", ig.zeros(()))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        if self.training:
            self.seen += 1
        return self.out(F.dropout(self.table(x), 0.2, self.training))


def lookup() -> Task:
    return Task(Lookup, lambda p: optim.Adam(p, lr=0.01))


@pytest.mark.parametrize("bad", [7, -1, 2**31, 2**63 - 1, -(2**63)])
def test_an_index_out_of_range_changes_no_state(bad: int, tmp_path: Path) -> None:
    x, wrong = codes((5,), 7), codes((5,), 7)
    wrong[3] = bad
    task = lookup()
    step = ig.jit(task.train_step)
    step(ig.from_numpy(x), ig.from_numpy(x))
    before = {n: bits(v) for n, v in task.values().items()}
    for data in ((wrong, x), (x, wrong)):
        with pytest.raises(ig.IndexError):
            step(*map(ig.from_numpy, data))
        assert {n: bits(v) for n, v in task.values().items()} == before
    n = ig.Dim("n", max=64)
    spec = ig.spec((n,), ig.int64)
    model = save(task.program(spec, spec), tmp_path)
    model.train_step(x, x)
    before = {k: bits(v) for k, v in model.state_dict().items()}
    for data in ((wrong, x), (x, wrong)):
        with pytest.raises(ig.IndexError):
            model.train_step(*data)
        assert {k: bits(v) for k, v in model.state_dict().items()} == before
    model.train_step(x, x)
    step(ig.from_numpy(x), ig.from_numpy(x))


def test_the_failed_step_leaves_no_trace_in_those_that_follow(tmp_path: Path) -> None:
    x, wrong = codes((5,), 7), np.full(5, 9)
    spec = ig.spec((ig.Dim("n", max=64),), ig.int64)
    kept: list[dict[str, bytes]] = []
    for failing in (False, True):
        ig.manual_seed(3)
        task = lookup()
        model = save(task.program(spec, spec), tmp_path)
        for k in range(4):
            if failing:
                with pytest.raises(ig.IndexError):
                    model.train_step(x if k % 2 else wrong, wrong)
            model.train_step(x, x)
        kept.append({k: bits(v) for k, v in model.state_dict().items()})
    assert kept[0] == kept[1]


def test_too_little_memory_changes_no_state(tmp_path: Path) -> None:
    x, n = numbers((4, 8)), ig.Dim("n", max=1 << 40)
    task = Task(lambda: nn.Linear(8, 3), lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
    program = task.program(ig.spec((n, 8)), ig.spec((n,), ig.int64))
    model = save(program, tmp_path, max_memory="1MiB")
    model.train_step(x, codes((4,), 3))
    before = {k: bits(v) for k, v in model.state_dict().items()}
    with pytest.raises(MemoryError, match="max_memory"):
        model.train_step(numbers((40_000, 8)), codes((40_000,), 3))
    assert {k: bits(v) for k, v in model.state_dict().items()} == before
    model.train_step(x, codes((4,), 3))
    huge = np.broadcast_to(np.float32(0), (1 << 34, 8))
    unlimited = ig.load(tmp_path / "model.ig")
    before = {k: bits(v) for k, v in unlimited.state_dict().items()}
    with pytest.raises(MemoryError):
        unlimited.train_step(huge, np.broadcast_to(np.int64(0), (1 << 34,)))
    assert {k: bits(v) for k, v in unlimited.state_dict().items()} == before


def test_wrong_arguments_change_no_state(tmp_path: Path) -> None:
    task = Task(lambda: nn.Linear(8, 3), lambda p: optim.SGD(p, lr=0.1))
    n = ig.Dim("n", max=64)
    model = save(task.program(ig.spec((n, 8)), ig.spec((n,), ig.int64)), tmp_path)
    before = {k: bits(v) for k, v in model.state_dict().items()}
    x, t = numbers((4, 8)), codes((4,), 3)
    wrong = [
        ((x.astype(np.float64), t), ig.DTypeError),
        ((x[:, :7], t), ig.ShapeError),
        ((x[:3], t), ig.ShapeError),
        ((x, t.astype(np.int32)), ig.DTypeError),
        ((x,), ig.ArgumentError),
        ((np.zeros((65, 8), np.float32), np.zeros(65, np.int64)), ig.ShapeError),
    ]
    for arguments, error in wrong:
        with pytest.raises(error):
            model.train_step(*arguments)
    assert {k: bits(v) for k, v in model.state_dict().items()} == before


def test_operands_of_any_layout_are_read_right(tmp_path: Path) -> None:
    n = ig.Dim("n", max=64)
    model = save(ig.trace(lambda x: ig.exp(x) @ ig.ones(6, 2), ig.spec((n, 6))), tmp_path)
    x = numbers((5, 6))
    want = bits(model(x))
    wide = np.zeros((10, 12), np.float32)
    wide[::2, ::2] = x
    raw = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:]
    frozen = x.copy()
    frozen.flags.writeable = False
    for same in (wide[::2, ::2], np.asfortranarray(x), x[::-1][::-1], frozen, raw.view(np.float32)):
        assert bits(model(same.reshape(5, 6))) == want
    with contextlib.suppress(ig.DTypeError):  # refusing it would be right as well
        assert bits(model(x.astype(x.dtype.newbyteorder()))) == want
