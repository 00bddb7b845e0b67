"""Layers and losses beside torch in form: constructors' arguments, dtypes, errors, containers."""

import inspect

import pytest

import intaglio as ig
from intaglio import nn
from tests.frontend.layer_errors import CALLS, CONSTRUCTORS
from tests.frontend.layer_judge import TABLE, build

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

WITHOUT = {
    "Container": "deprecated",
    "LinearCrossEntropyOptions": "torch's choice of chunks, which changes no value",
}
CLASSES = [n for n in dir(torch.nn) if inspect.isclass(getattr(torch.nn, n)) and n not in WITHOUT]
EMPTY = {"Parameter", "Buffer"}  # torch's None and our () both mean a tensor without elements


def arguments(kind):
    """Names, kinds and defaults of a constructor's arguments."""
    found = []
    for p in inspect.signature(kind).parameters.values():
        found.append((p.name, p.kind, p.default.__name__ if callable(p.default) and p.default
                      is not p.empty else p.default))  # fmt: skip
    return found


@pytest.mark.parametrize("name", CLASSES)
def test_constructor(name):
    ours, theirs = arguments(getattr(nn, name)), arguments(getattr(torch.nn, name))
    if [p[0] for p in theirs] == ["args", "kwargs"]:
        return  # torch hands all on to a base class
    if name in EMPTY:
        ours[0], theirs[0] = ours[0][:2], theirs[0][:2]
    assert ours == theirs


MODULES = [n for n in CLASSES if issubclass(getattr(torch.nn, n), torch.nn.Module)]


@pytest.mark.parametrize("name", MODULES)
def test_base_classes(name):
    def bases(n):
        return {other for other in MODULES if issubclass(getattr(n, name), getattr(n, other))}

    assert bases(nn) == bases(torch.nn)


INSIDE = {"name", "activation_relu_or_gelu", "use_nested_tensor", "enable_nested_tensor"}


@pytest.mark.parametrize("name", TABLE)
def test_attributes(name):
    ours, theirs = (build(n, name, TABLE[name][0]) for n in (nn, torch.nn))
    for key, value in theirs.__dict__.items():
        if key.startswith("_") or key in INSIDE:
            continue
        assert hasattr(ours, key), key
        assert callable(value) or getattr(ours, key) == value, key


def typed(name):
    """Whether a class takes a dtype."""
    parameters = inspect.signature(getattr(nn, name)).parameters
    return "dtype" in parameters


@pytest.mark.parametrize("name", [name for name in TABLE if typed(name)])
def test_dtype_and_device_of_constructor(name):
    rows = TABLE[name]
    case = next((row for row in rows if row.kwargs.get("affine")), rows[0])
    ours = build(nn, name, case, dtype=ig.float64, device="cpu").state_dict()
    theirs = build(torch.nn, name, case, dtype=torch.float64, device="cpu").state_dict()
    assert list(ours) == list(theirs)
    for key, tensor in theirs.items():
        assert str(ours[key].numpy().dtype) == str(tensor.numpy().dtype), key


def maker(lib):
    """`x` of the table of errors for a library."""

    def x(*shape):
        if shape and isinstance(shape[0], str):
            return lib.ones(tuple(map(int, shape[0][1:].split(","))), dtype=lib.int64)
        return lib.ones(shape)

    return x


LOOSER = {
    AssertionError: ig.Error,  # an assert is no class to catch
    NotImplementedError: RuntimeError,  # which it is one of
}
OTHERWISE = {
    "gru_projection": TypeError,  # it is no argument of GRU's here
    "lp_pool_rank": ValueError,  # torch speaks of the axis that is not there
    "unfold_rank": ValueError,
}


@pytest.mark.parametrize("name", [*CONSTRUCTORS, *CALLS])
def test_error(name):
    call = (CONSTRUCTORS | CALLS)[name]
    with pytest.raises(Exception) as theirs:  # torch says which class
        call(torch.nn, maker(torch))
    kind = OTHERWISE.get(name, LOOSER.get(theirs.type, theirs.type))
    with pytest.raises(kind) as ours:
        call(nn, maker(ig))
    # Python itself refuses names of arguments and missing ones.
    assert isinstance(ours.value, ig.Error) or "argument" in str(ours.value)


def numbered(n):
    return n.Linear(2, 2), n.ReLU(), n.Linear(2, 3), n.Tanh()


STEPS = {
    "insert": lambda n, c: c.insert(1, n.Sigmoid()),
    "insert_last": lambda n, c: c.insert(len(c), n.Sigmoid()),
    "append": lambda n, c: c.append(n.Sigmoid()),
    "extend": lambda n, c: c.extend([n.Sigmoid(), n.ReLU()]),
    "pop": lambda n, c: c.pop(1),
    "pop_last": lambda n, c: c.pop(-1),
    "delete": lambda n, c: c.__delitem__(0),
    "delete_slice": lambda n, c: c.__delitem__(slice(0, 2)),
    "set": lambda n, c: c.__setitem__(-1, n.Sigmoid()),
    "slice": lambda n, c: c[1:3],
    "slice_step": lambda n, c: c[::2],
    "index": lambda n, c: c[-2],
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_container(kind, step):
    seen = []
    for n in (nn, torch.nn):
        held = n.Sequential(*numbered(n)) if kind == "Sequential" else n.ModuleList(numbered(n))
        result = STEPS[step](n, held)
        text = repr(result) if isinstance(result, nn.Module | torch.nn.Module) else None
        seen.append((repr(held), list(held.state_dict()), text))
    assert seen[0] == seen[1]


def test_sums_and_products_of_containers():
    seen = []
    for n in (nn, torch.nn):
        one, two = n.Sequential(n.Linear(2, 2)), n.Sequential(n.ReLU(), n.Tanh())
        texts = [one + two, one * 2, 3 * two, n.ModuleList([n.ReLU()]) + n.ModuleList([n.Tanh()])]
        one += two
        two *= 2
        listed = n.ModuleList([n.ReLU()])
        listed += [n.ReLU(), n.Tanh()]
        named = n.ModuleDict([("a", n.ReLU()), ("b", n.Tanh())])
        named.update({"c": n.Linear(1, 1)})
        taken = named.pop("a")
        texts += [one, two, listed, named, taken]
        named.clear()
        seen.append([repr(t) for t in texts] + [len(named)])
    assert seen[0] == seen[1]
