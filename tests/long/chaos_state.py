"""Random nests of values through checkpoints, and of tensors through queues and pipes."""

import os
import random
import signal
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.multiprocessing as mp
from intaglio.compiler.errors import Error
from tests.long.chaos_loaders import flat

NAMES = ["a", "", "a.b", "a/b", "..", "../x", "$tensor", "$", "\0", "\n", "\x1b[2J", "\u65e5",
         "\ud800", "a" * 5000, "~", "a~", "\u202e", "%s", "{}", "0"]  # fmt: skip
DTYPES = [ig.float32, ig.float64, ig.bfloat16, ig.float16, ig.int8, ig.int64, ig.uint8, ig.bool]
INTS = [0, -1, (1 << 63) - 1, -(1 << 63), 1 << 63, 10**300]
FLOATS = [0.0, -0.0, float("inf"), 5e-324, struct.unpack("d", b"\1\0\0\0\0\0\xf4\x7f")[0]]


def tensor(draw: random.Random) -> ig.Tensor:
    """Any bits, as a tensor of some type and strides."""
    shape = tuple(draw.choice([0, 1, 2, 3, 5]) for _ in range(draw.choice([0, 0, 1, 2, 3])))
    dtype = draw.choice(DTYPES)
    size = int(np.prod(shape)) * dtype.numpy.itemsize
    raw = np.frombuffer(draw.randbytes(size), np.uint8)
    if dtype is ig.bool:
        raw = raw % 2
    made = ig.from_numpy(raw.view(dtype.numpy).reshape(shape).copy())
    if made.ndim >= 2 and draw.random() < 0.4:
        made = made.transpose(0, -1)
    if made.ndim and len(made) > 2 and draw.random() < 0.4:
        made = made[::2]
    return made.expand(2, *made.shape) if draw.random() < 0.1 else made


def value(draw: random.Random, depth: int, tensors: list[ig.Tensor]) -> Any:
    """A value of any kind that is kept."""

    def below() -> Any:
        return value(draw, depth + 1, tensors)

    kind = draw.randrange(17 if depth < 5 else 10)
    plain = [None, True, draw.choice(INTS), draw.choice(FLOATS), draw.choice(NAMES), ig.int16]
    match kind:
        case 0 | 1 | 2 | 3 | 4 | 5:
            return plain[kind]
        case 6 | 7:
            tensors.append(draw.choice(tensors) if tensors and kind == 7 else tensor(draw))
            return tensors[-1]
        case 8:
            return draw.randbytes(draw.choice([0, 5, 70_000]))
        case 9:
            return draw.choice([np.float32(1.5), np.bool_(True), np.arange(6)[::-2], {1, "x"}])
        case 10 | 11:
            return [below() for _ in range(draw.randrange(5))]
        case 12:
            return tuple(below() for _ in range(draw.randrange(4)))
        case 13:
            return [draw.choice(FLOATS) for _ in range(40)]
        case 14:
            return {draw.choice([1, 2.5, None, True, "$x"]): below() for _ in range(4)}
    return {draw.choice(NAMES): below() for _ in range(draw.randrange(5))}


def exact(found: Any) -> Any:
    """A value as something that is equal only to the same bits and types."""
    if isinstance(found, dict):
        return [(exact(key), exact(part)) for key, part in found.items()]
    if isinstance(found, list | tuple):
        return type(found).__name__, [exact(part) for part in found]
    if isinstance(found, float):
        return type(found), struct.pack("d", found)
    if isinstance(found, ig.Tensor | np.ndarray | np.generic):
        return type(found), flat(found) if not isinstance(found, np.generic) else found.tobytes()
    return type(found), found


def checkpoint(number: int) -> None:
    """A nest comes back as it was; a file with one byte changed is refused."""
    draw = random.Random(number)
    tensors: list[ig.Tensor] = []
    parts = {draw.choice(NAMES): value(draw, 0, tensors) for _ in range(draw.randrange(1, 6))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.ig"
        ig.save_checkpoint(path, **parts)
        assert exact(ig.load_checkpoint(path)) == exact({n: parts[n] for n in parts})
        data = bytearray(path.read_bytes())
        at = draw.randrange(len(data))
        data[at] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            ig.load_checkpoint(path)
        except Error:
            return
        raise AssertionError(f"byte {at} of {len(data)} was changed, and the file accepted")


def answering(given: Any, answers: Any) -> None:
    """Add one to every tensor that comes, and give back what came."""
    while (nest := given.get()) is not None:
        for each in nest["tensors"]:
            each.add_(1)
        answers.put(nest)


def sharing(number: int) -> None:
    """Views of one memory go to a child and back and still are one memory; then the child is
    killed."""
    draw = random.Random(number)
    context = mp.get_context("fork")
    given, answers = context.Queue(), context.Queue()
    child = context.Process(target=answering, args=(given, answers), daemon=True)
    child.start()
    for _ in range(20):
        whole = ig.arange(draw.choice([6, 12, 400_002])).float()
        part = draw.choice([whole[::2], whole.reshape(2, -1).mT, whole[3:], whole])
        first, other = part.tolist(), draw.random()
        given.put({"tensors": [part], "whole": whole, "tag": (other, "x")})
        back = answers.get(timeout=60)
        assert back["tag"] == (other, "x")
        wanted = (np.array(first) + 1).tolist()
        assert part.tolist() == wanted and back["tensors"][0].tolist() == wanted
        back["whole"].zero_()
        assert not whole.any() and not back["tensors"][0].any()
    if draw.random() < 0.5:
        given.put({"tensors": [whole], "whole": whole, "tag": None})
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    else:
        given.put(None)
    child.join(30)
    assert child.exitcode in (0, -signal.SIGKILL)
    for queue in (given, answers):
        queue.close()
        queue.cancel_join_thread()
    child.close()
