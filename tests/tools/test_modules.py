"""Groups by module: no cycles between them, sums of derivatives within them, depths that fit."""

import random

import pytest

from intaglio.compiler.ir import Function
from intaglio.compiler.where import Where
from intaglio.tools import modules
from intaglio.tools.modules import Group, depth_for, group, node_paths, path_of, visible
from intaglio.tools.summary import summary


def names(root: Group) -> list[str]:
    return [g.name for g in root.groups()]


def tree(function: Function) -> Group:
    paths = node_paths(function.graph)
    number = {v: k for k, node in enumerate(paths) for v in node.outputs}
    sources = [[number[v] for v in node.inputs if v in number] for node in paths]
    return group("", list(paths.values()), sources)


def test_paths_are_those_of_the_modules() -> None:
    def place(scope: str, gradient: bool = False) -> Where:
        return Where("dir/net.py", 7, scope, gradient)

    assert path_of((place("Net.blocks.0.a"),)) == ("Net", "blocks.0", "a")
    assert path_of((place("Sequential.0"),)) == ("Sequential", "0")
    assert path_of((place("Net.a"), place("Net.b"))) == ("Net",)
    assert path_of((place("Net.a", True),)) == ("gradient of Net", "a")
    assert path_of((place("Net.a"), place("Net.b", True))) == ("Net", "a")
    assert path_of((place(""),)) == ("net.py:7",)
    assert path_of((place("A"), place("B"))) == ("net.py:7",)
    assert path_of((place("A"), Where("x.py", 1))) == (modules.ELSEWHERE,)
    assert path_of(()) == ()


def test_a_model_is_a_tree_of_its_modules(functions: dict[str, Function]) -> None:
    root = tree(functions["forward"])
    assert names(root) == ["Net"]
    (net,) = root.groups()
    assert names(net) == ["blocks.0", "blocks.1", "blocks.2"]
    assert all(names(block) == ["a", "relu", "b"] or "a" in names(block) for block in net.groups())


def test_a_derivative_is_one_tree_beside_it(functions: dict[str, Function]) -> None:
    root = tree(functions["train_step"])
    found = names(root)
    assert found.count("Net") == 1
    assert found.count("gradient of Net") == 1
    (derivative,) = (g for g in root.groups() if g.name == "gradient of Net")
    assert names(derivative) == ["blocks.2", "blocks.1", "blocks.0"]


def is_acyclic(root: Group, sources: list[list[int]]) -> bool:
    """Whether the members of a group, and of those in it, can be put in order."""
    home = {}
    for k, member in enumerate(root.members):
        for item in member.items() if isinstance(member, Group) else [member]:
            home[item] = k
    above = {k: {home[s] for i, h in home.items() if h == k for s in sources[i] if s in home} - {k}
             for k in range(len(root.members))}  # fmt: skip
    while above:
        ready = [k for k, before in above.items() if not before & above.keys()]
        if not ready:
            return False
        for k in ready:
            del above[k]
    return all(is_acyclic(g, sources) for g in root.groups())


@pytest.mark.parametrize("seed", range(30))
def test_groups_never_form_a_cycle(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randrange(2, 40)
    sources = [draw.sample(range(k), min(k, draw.randrange(4))) for k in range(count)]
    paths = [tuple(draw.choice("ab") for _ in range(draw.randrange(4))) for _ in range(count)]
    root = group("", paths, sources)
    assert sorted(root.items()) == list(range(count))
    assert is_acyclic(root, sources)


def test_a_module_is_split_only_where_it_must_be() -> None:
    paths = [("m",), ("n",), ("m",)]
    assert names(group("", paths, [[], [], [0]])) == ["m", "n"]
    assert names(group("", paths, [[], [0], [1]])) == ["m", "n", "m"]


def test_depths_fit(functions: dict[str, Function]) -> None:
    root = tree(functions["forward"])
    assert depth_for(root, 10_000) is None
    counts = [visible(root, d) for d in range(4)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert depth_for(root, counts[2]) in (2, None)
    assert depth_for(root, 0) == 1


def test_the_summary_counts_everything_once(functions: dict[str, Function]) -> None:
    text = summary(functions["forward"], 5)
    rows = [line.split() for line in text.splitlines()[2:]]
    total = len(functions["forward"].graph.nodes)
    assert rows[0][:3] == ["Net", str(total), "12"]
    assert rows[-1][:3] == ["all", str(total), "12"]
    assert [r[0] for r in rows if r[0].startswith("blocks")] == ["blocks.0", "blocks.1", "blocks.2"]
    assert sum(int(r[1]) for r in rows if r[0].startswith("blocks")) == total


def test_operations_in_no_module_fold_at_every_depth() -> None:
    root = Group("", [Group("net.py:7", list(range(40))), Group("Net", [Group("a", [40, 41])])])
    assert visible(root, None) == 42
    assert depth_for(root, 41) == 2
    assert visible(root, 2) == 3
