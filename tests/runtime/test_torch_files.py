"""torch's files: what they hold, what is refused, and that nothing in them is run."""

import io
import pickle
import resource
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from intaglio.runtime.datasets import DataError
from intaglio.runtime.torch_files import load_torch
from intaglio.runtime.weights import load_weights
from tests.runtime.torch_files import mutations
from tests.tools.commands import here

FILES = Path(__file__).parent / "torch_files"
NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
         "1.num_batches_tracked"]  # fmt: skip


@pytest.mark.parametrize("name", ["state_dict.pt", "before_1_6.pt"])
def test_a_state_dict_has_its_names_order_and_bits(name: str) -> None:
    made = load_weights(FILES / name)
    with np.load(FILES / "state_dict.npz") as expected:
        assert list(made) == NAMES
        for key, array in made.items():
            assert (array.dtype, array.shape) == (expected[key].dtype, expected[key].shape)
            assert array.tobytes() == expected[key].tobytes(), key
            assert array.flags.aligned
            assert not array.flags.writeable


def test_every_dtype_is_read() -> None:
    made = load_weights(FILES / "dtypes.pt")
    for name, array in made.items():
        wanted = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        values = np.arange(6).reshape(2, 3)
        np.testing.assert_array_equal(array, values % 2 == 0 if name == "bool" else values)
        assert array.dtype == wanted
    assert len(made) == 13


def test_views_share_the_mapped_memory() -> None:
    made = load_weights(FILES / "views.pt")
    base = np.arange(24, dtype=np.float32)
    np.testing.assert_array_equal(made["base"], base)
    np.testing.assert_array_equal(made["columns"], base.reshape(4, 6).T)
    np.testing.assert_array_equal(made["part"], base.reshape(4, 6)[1:3, ::2])
    np.testing.assert_array_equal(made["spread"], [5, 5, 5, 5])
    assert (made["empty"].shape, made["scalar"], made["parameter"].tolist()) == (
        (0, 3),
        2.5,
        [1, 1],
    )
    assert all(np.shares_memory(made["base"], made[name]) for name in ("tied", "columns", "part"))
    assert not made["base"].flags.owndata


def test_a_checkpoint_is_read_whole() -> None:
    made = load_torch(FILES / "checkpoint.pt")
    assert list(made["model"]) == NAMES
    assert made["epoch"] == 3
    assert made["best"] == 0.75
    assert made["history"] == [1.5, (None, True, "text")]
    assert made["plain"] == {1, 2}
    assert made["milestones"] == {3: 2, 5: 1}
    assert (made["size"], made["device"], made["dtype"]) == ((2, 3), "cpu", ig.bfloat16)
    assert (made["bytes"], made["large"]) == (b"\x00\xff", 1 << 70)
    np.testing.assert_array_equal(made["numpy"], np.arange(6.0).reshape(2, 3).T)


def test_a_key_picks_the_state_dict() -> None:
    assert list(load_weights(FILES / "checkpoint.pt", "model")) == NAMES
    with pytest.raises(DataError, match="give key='model'"):
        load_weights(FILES / "checkpoint.pt")
    with pytest.raises(DataError, match=r"no 'ema.net'.*key='model'"):
        load_weights(FILES / "checkpoint.pt", "ema.net")
    with pytest.raises(DataError, match="'epoch' of .* but a int"):
        load_weights(FILES / "checkpoint.pt", "epoch")
    with pytest.raises(DataError, match="no key='model'"):
        load_weights(FILES / "state_dict.npz", "model")


def test_a_model_and_its_optimizer_go_on_from_there() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = optim.Adam(model.parameters())
    checkpoint = load_torch(FILES / "checkpoint.pt")
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.01
    moments = optimizer.state[model[0].weight]
    saved = checkpoint["optimizer"]["state"][0]
    np.testing.assert_array_equal(moments["exp_avg"].numpy(), saved["exp_avg"])
    assert saved["step"] == 2
    model(ig.ones(4, 3)).sum().backward()
    optimizer.step()
    assert float(optimizer.state_dict()["state"][0]["step"]) == 3


def test_the_command_line_lists_them_and_takes_them(tmp_path: Path) -> None:
    done = here("weights", FILES / "checkpoint.pt", "--key", "model")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[1:-1]] == NAMES
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ig.trace(model.eval(), ig.zeros(4, 3)).save(tmp_path / "net.ig")
    taken = here(
        "weights", tmp_path / "net.ig", "--load", FILES / "state_dict.pt",
        "--out", tmp_path / "new.ig",
        "--no-strict",
    )  # fmt: skip
    assert taken.code == 0, taken.err
    with np.load(FILES / "state_dict.npz") as expected:
        state = ig.load(tmp_path / "new.ig").state
        np.testing.assert_array_equal(state.array("0.weight"), expected["0.weight"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("complex.pt", "complex numbers"),
        ("sparse.pt", "a sparse tensor"),
        ("module.pt", r"torch\.nn\.modules\.container\.Sequential.*state_dict\(\) alone"),
    ],
)
def test_what_torch_wrote_and_is_not_read_is_named(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_torch(FILES / name)


# --------------------------------------------------------------------------- made by hand: hostile


def archive(path: Path, stream: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A file of torch's form around a stream."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", stream)
        for key, data in (storages or {}).items():
            file.writestr(f"a/data/{key}", data)
    return path


def tensor(
    storage: bytes = b"U\x010", kind: bytes = b"ctorch\nFloatStorage\n", count: int = 2,
    offset: int = 0, sizes: tuple[int, ...] = (2,), strides: tuple[int, ...] = (1,),
) -> bytes:  # fmt: skip
    """The opcodes of one tensor."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return (
            b"("
            + b"".join(b"\x8a\x09" + v.to_bytes(9, "little", signed=True) for v in values)
            + b"t"
        )

    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        b"U\x07storage" + kind + storage + b"U\x03cpu" + numbers((count,)).strip(b"(t") + b"tQ"
        + numbers((offset,)).strip(b"(t") + numbers(sizes) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def test_the_opcodes_made_by_hand_are_right(tmp_path: Path) -> None:
    stored = {"0": struct.pack("<2f", 1.5, 2.5)}
    made = load_torch(archive(tmp_path / "x.pt", b"\x80\x02" + tensor() + b".", stored))
    assert made.tolist() == [1.5, 2.5]


NAMED = {
    "os.system": b"cos\nsystem\n(U\x02lstR.",
    "posix.system": b"cposix\nsystem\n(U\x02lstR.",
    "builtins.eval": b"cbuiltins\neval\n(U\x011tR.",
    "old builtins": b"c__builtin__\neval\n(U\x011tR.",
    "getattr": b"cbuiltins\ngetattr\n(ctorch\nSize\nU\x08__init__tR.",
    "attribute of a known name": b"\x80\x04\x8c\x05torch\x8c\x0dSize.__init__\x93.",
    "torch.load": b"ctorch\nload\n(U\x05/x.pttR.",
    "torch.hub": b"ctorch.hub\nload\n)R.",
    "numpy.load": b"cnumpy\nload\n(U\x05/x.nptR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
    "stack global of a list": b"\x80\x04]\x8c\x06system\x93.",
    "alias by numpy": b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    "a dtype called": b"ctorch\nfloat32\n)R.",
    "a storage called": b"ctorch\nFloatStorage\n)R.",
    "a dict called": b"})R.",
    "a new object": b"\x80\x02csubprocess\nPopen\n(U\x02lst\x81.",
    "INST": b"(U\x02lsios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nU\x02lso.",
    "NEWOBJ_EX": b"\x80\x04ctorch\nSize\n)}\x92.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "text ids": b"P0\n.",
    "buffers": b"\x80\x05\x97.",
    "state with setattr": b"ctorch\nSize\n)R}U\x01aK\x01sb.",
    "protocol": b"\x80\x09N.",
    "unknown opcode": b"\xff.",
    "bare storage": b"\x80\x02(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQ.",
    "id that is no storage": b"\x80\x02(U\x06moduleU\x01aU\x01bK\x01K\x01tQ.",
    "id that is no tuple": b"K\x01Q.",
}
SHAPED = {
    "no values": b".",
    "two values": b"NN.",
    "a mark is no value": b"(.",
    "tuple without mark": b"Nt.",
    "memo": b"h\x05.",
    "append to a dict": b"}Na.",
    "set item of a list": b"]NNs.",
    "a key without a value": b"}(Nu.",
    "a list as key": b"}]Ns.",
    "a tuple as key": b"})Ns.",
    "a huge integer": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a negative length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "a huge text": b"X\xff\xff\xff\x7fabc.",
    "a huge text of 64 bits": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    "no UTF-8": b"U\x01aX\x02\x00\x00\x00\xc3\x28\x86.",
    "a list in itself": b"]q\x00h\x00a.",
    "a tuple in itself": b"]q\x00(h\x00tah\x00\x86.",
    "a long name": b"c" + b"a" * 2000 + b"\nb\n.",
    "numpy of objects": b"cnumpy\ndtype\n(U\x02O8\x89\x88tR.",
    "numpy of nothing": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR."
    ),
    "arguments": b"ctorch\nSize\n(NNNtR.",
    "arguments that are no tuple": b"ctorch\nSize\n]R.",
    "pairs of three": b"ccollections\nOrderedDict\n](NNNta\x85R.",
}  # fmt: skip
TENSORS = {
    "beyond the storage": tensor(sizes=(3,)),
    "offset beyond": tensor(offset=1),
    "negative offset": tensor(offset=-1),
    "negative size": tensor(sizes=(-1,)),
    "negative stride": tensor(strides=(-1,)),
    "huge stride": tensor(strides=(1 << 62,)),
    "sizes that overflow": tensor(sizes=(1 << 61, 8), strides=(0, 0)),
    "expanded to 2^40": tensor(sizes=(1 << 40,), strides=(0,)),
    "empty and huge": tensor(sizes=(0, 1 << 61, 1 << 61), strides=(1, 1, 1)),
    "more strides than sizes": tensor(strides=(1, 1)),
    "too many dims": tensor(sizes=(1,) * 40, strides=(1,) * 40),
    "storage longer than declared": tensor(count=1, sizes=(1,)),
    "storage shorter than declared": tensor(count=3),
    "storage of another type": tensor(kind=b"ctorch\nDoubleStorage\n"),
    "huge storage": tensor(count=1 << 60),
    "no such storage": tensor(storage=b"U\x019"),
    "a path for a storage": tensor(storage=b"U\x0b../../../etc"),
    "type that is a function": tensor(kind=b"ctorch\nSize\n"),
    "bytes without dtype": tensor(kind=b"ctorch.storage\nUntypedStorage\n", count=8),
    "bool of 63": tensor(kind=b"ctorch\nBoolStorage\n", count=8, offset=2),
}


@pytest.mark.parametrize("case", [*NAMED, *SHAPED])
def test_hostile_streams_are_refused(case: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", (NAMED | SHAPED)[case], {"0": bytes(8)})
    with pytest.raises(DataError, match="can't be read as torch's"):
        load_torch(path)


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_lie_about_their_storage_are_refused(case: str, tmp_path: Path) -> None:
    stored = {"0": struct.pack("<2f", 1.5, 2.5), "extra": b""}
    path = archive(tmp_path / "x.pt", b"\x80\x02" + TENSORS[case] + b".", stored)
    with pytest.raises(DataError, match="can't be read as torch's"):
        load_torch(path)


def test_nothing_that_a_file_names_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "trapped",)

    for protocol in (2, 3, 4, 5):
        path = archive(tmp_path / "x.pt", pickle.dumps({"a": Trap()}, protocol))
        with pytest.raises(DataError, match="which is refused"):
            load_torch(path)
    assert not (tmp_path / "trapped").exists()
    seen: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching:
            seen.append(event)

    watching = False
    sys.addaudithook(hook)
    load_torch(FILES / "checkpoint.pt")
    watching = True
    load_torch(FILES / "checkpoint.pt")
    watching = False
    assert seen.count("open") == 2, "the archive, and its directory"
    assert not {e for e in seen if e.startswith(("import", "exec", "compile", "os.", "subprocess"))}
    assert not {e for e in seen if e.startswith("pickle")}


def bomb(rounds: int, width: int) -> bytes:
    """A list of lists of lists: each holds the one before many times."""
    stream = b"\x80\x02]q\x000"
    for _ in range(rounds):
        stream += b"](" + b"h\x00" * width + b"eq\x000"
    return stream + b"h\x00."


COPY = (
    b"\x80\x02(" + b"N" * 100_000 + b"tq\x00" + b"(" + b"ctorch\nSize\nh\x00\x85R" * 10_000 + b"t."
)
KEYS = b"\x80\x02}(" + b"".join(
    b"\x8a\x0a" + (k * sys.hash_info.modulus).to_bytes(10, "little") + b"N" for k in range(100_000)
) + b"u."  # fmt: skip
"""A dict of integers that have one hash, which Python would search through for every one."""
BOMBS = {
    "keys": KEYS,
    "lists": bomb(40, 100),
    "calls that copy": COPY,
    "many opcodes": b"\x80\x02" + b"N0" * 2_100_000 + b"N.",
    "views": b"\x80\x02("
    + tensor(count=250_000, sizes=(250_000,)).replace(b"R", b"R", 1) * 60
    + b"t.",
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_take_little_memory_and_time(case: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", BOMBS[case], {"0": bytes(1_000_000)})
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(DataError, match="much larger than|more than .* steps|bits as a key"):
        load_torch(path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 300 << 10, "KiB"
    assert after.ru_utime - before.ru_utime < 20


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def test_nesting_is_bounded(tmp_path: Path) -> None:
    load_torch(archive(tmp_path / "x.pt", nested(50)))
    with pytest.raises(DataError, match="nest deeper than 64"):
        load_torch(archive(tmp_path / "x.pt", nested(50_000)))
    with pytest.raises(DataError, match="nest deeper than 64"):
        load_torch(archive(tmp_path / "x.pt", b"\x80\x02)" + b"\x85" * 50_000 + b"."))


def zipped(change: Callable[[zipfile.ZipFile], None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        change(file)
    return buffer.getvalue()


def test_archives_of_other_forms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    stream = b"\x80\x02" + tensor() + b"."

    def refused(data: bytes, said: str) -> None:
        path.write_bytes(data)
        with pytest.raises(DataError, match=said):
            load_torch(path)

    def packed(file: zipfile.ZipFile) -> None:
        file.writestr("a/data.pkl", stream)
        file.writestr("a/data/0", bytes(8), zipfile.ZIP_DEFLATED)

    refused(zipped(packed), "'a/data/0' is compressed")
    refused(zipped(lambda file: file.writestr("a/other", b"x")), "no data.pkl")
    both = zipped(lambda f: [f.writestr(f"{n}/data.pkl", stream) for n in "ab"])
    refused(both, "no data.pkl")
    script = zipped(lambda f: [f.writestr(f"a/{n}.pkl", stream) for n in ("data", "constants")])
    refused(script, "TorchScript")
    whole = archive(path, stream, {"0": bytes(8)}).read_bytes()
    assert load_torch(path).tolist() == [0, 0]
    refused(whole.replace(stream, stream.replace(b"cpu", b"gpu")), "checksum")
    entry = whole.rindex(b"PK\1\2")
    first = whole.index(b"PK\1\2")
    moved = whole[: entry + 42] + whole[first + 42 : first + 46] + whole[entry + 46 :]
    refused(moved, "overlap")
    order = zipped(lambda f: [f.writestr("a/data.pkl", b"N."), f.writestr("a/byteorder", b"odd")])
    refused(order, "order of bytes is 'odd'")
    refused(b"", "is empty")
    refused(b"PK\3\4", "directory is damaged")
    refused(b"just text", "begins neither")


def test_big_endian_storages_are_turned(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02" + tensor() + b".")
        file.writestr("a/byteorder", b"big")
        file.writestr("a/data/0", struct.pack(">2f", 1.5, 2.5))
    assert load_torch(path).tolist() == [1.5, 2.5]


def test_tensors_of_one_turned_storage_share_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02(" + tensor() * 2 + b"t.")
        file.writestr("a/byteorder", b"big")
        file.writestr("a/data/0", struct.pack(">2f", 1.5, 2.5))
    first, second = load_torch(path)
    assert np.shares_memory(first, second) and second.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("name", mutations.FILES)
def test_truncated_and_mutated_files_give_data_errors_alone(name: str, tmp_path: Path) -> None:
    data = mutations.content(name)
    short = range(0, len(data), 11)
    assert mutations.refused(name, [data[:k] for k in short], tmp_path / "x.pt") == len(short)
    changed = mutations.changed(data, 150, seed=1)
    assert mutations.refused(name, changed, tmp_path / "x.pt") > 10


# -------------------------------------------------------------------------- beside torch itself


@pytest.mark.torch
def test_what_torch_writes_now_is_read(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 5, 2)
    )
    for new in (True, False):
        torch.save(net.state_dict(), tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        made = load_weights(tmp_path / "x.pt")
        assert isinstance(net.state_dict(), OrderedDict)
        assert list(made) == list(net.state_dict())
        for name, expected in net.state_dict().items():
            assert made[name].tobytes() == expected.numpy().tobytes()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(net.state_dict(), tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert list(load_weights(tmp_path / "x.pt")) == list(net.state_dict())


OPTIMIZERS = (
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "Adamax", "Rprop",
    "ASGD",
)  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchs_optimizers_go_on_here(name: str, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    theirs = torch.nn.Linear(3, 2, dtype=torch.float64)
    options = {"lr": 0.05} | ({"momentum": 0.9} if name == "SGD" else {})
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    x = torch.randn(5, 3, dtype=torch.float64)

    def step() -> None:
        their_optimizer.zero_grad()
        (theirs(x) ** 2).sum().backward()
        their_optimizer.step()

    step()
    step()
    saved = {"model": theirs.state_dict(), "optimizer": their_optimizer.state_dict()}
    torch.save(saved, tmp_path / "x.pt")
    read = load_torch(tmp_path / "x.pt")
    ours = nn.Linear(3, 2, dtype=ig.float64)
    optimizer = getattr(optim, name)(ours.parameters(), lr=1.0)
    ours.load_state_dict(read["model"])
    optimizer.load_state_dict(read["optimizer"])
    for _ in range(3):
        step()
        optimizer.zero_grad()
        (ours(ig.as_tensor(x.numpy())) ** 2).sum().backward()
        optimizer.step()
    close = 1e-6 if name in ("NAdam", "ASGD") else 1e-10  # torch keeps scalars of these in f32
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), close)
