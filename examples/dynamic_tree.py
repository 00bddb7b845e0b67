"""A recursive network: it reads logical expressions along their syntax trees and learns what they
mean.

Every expression has a tree of its own, so every sample runs another computation; the tape records
each as it happens, and `backward` goes through whatever it was. The network gets nothing but the
tree and the value of the whole: it has to find out what `and`, `or`, `xor` and `not` do.

    python examples/dynamic_tree.py [--expressions 4000]

After 4,000 expressions of up to 12 leaves it is right about all of 300 new ones that have 13 to 24
(seeds 0, 1 and 2; 13 seconds each).
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

WIDTH, BATCH = 24, 16


@dataclass(frozen=True)
class Leaf:
    """A truth value."""

    value: bool

    def __str__(self) -> str:
        return "TF"[not self.value]


@dataclass(frozen=True)
class Not:
    """The opposite of a tree."""

    tree: Tree

    @property
    def value(self) -> bool:
        """What it means."""
        return not self.tree.value

    def __str__(self) -> str:
        return f"not {self.tree}"


@dataclass(frozen=True)
class Pair:
    """Two trees joined by `and`, `or` or `xor`."""

    kind: str
    left: Tree
    right: Tree

    @property
    def value(self) -> bool:
        """What it means."""
        a, b = self.left.value, self.right.value
        return {"and": a and b, "or": a or b, "xor": a != b}[self.kind]

    def __str__(self) -> str:
        return f"({self.left} {self.kind} {self.right})"


Tree = Leaf | Not | Pair


def grown(leaves: int, chance: random.Random) -> Tree:
    """A random expression with so many leaves."""
    if chance.random() < 0.2:
        return Not(grown(leaves, chance))
    if leaves == 1:
        return Leaf(chance.random() < 0.5)
    split = chance.randint(1, leaves - 1)
    kind = chance.choice(["and", "or", "xor"])
    return Pair(kind, grown(split, chance), grown(leaves - split, chance))


class Reader(nn.Module):
    """A vector for every tree, made of those of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.leaf = nn.Embedding(2, WIDTH)
        self.turn = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.join = nn.ModuleDict(
            {
                kind: nn.Sequential(
                    nn.Linear(2 * WIDTH, 2 * WIDTH),
                    nn.Tanh(),
                    nn.Linear(2 * WIDTH, WIDTH),
                    nn.Tanh(),
                )
                for kind in ("and", "or", "xor")
            }
        )
        self.truth = nn.Linear(WIDTH, 1)

    def read(self, tree: Tree) -> ig.Tensor:
        """The vector f32[width] of a tree."""
        match tree:
            case Leaf(value):
                return self.leaf(ig.tensor(int(value)))
            case Not(inner):
                return self.turn(self.read(inner))
            case Pair(kind, left, right):
                return self.join[kind](ig.cat([self.read(left), self.read(right)]))

    def forward(self, tree: Tree) -> ig.Tensor:
        """How strongly it takes the tree to be true, f32[1]: above 0 is yes."""
        return self.truth(self.read(tree))


def train(expressions: int, seed: int = 0, report: int = 500) -> Reader:
    """A reader that has seen so many expressions."""
    chance = random.Random(seed)
    ig.manual_seed(seed)
    model = Reader()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    lost = right = 0.0
    for k in range(1, expressions + 1):
        tree = grown(chance.randint(1, 12), chance)
        score = model(tree)
        loss = F.binary_cross_entropy_with_logits(score, ig.tensor([float(tree.value)]))
        (loss / BATCH).backward()
        lost, right = lost + loss.item(), right + ((score.item() > 0) == tree.value)
        if k % BATCH == 0:
            optimizer.step()
            optimizer.zero_grad()
        if k % report == 0:
            print(
                f"{k} expressions: loss {lost / report:.3f}, {right / report:.1%} right", flush=True
            )
            lost = right = 0.0
    return model


def accuracy(model: Reader, count: int = 300, seed: int = 1) -> float:
    """The share of new, larger expressions that the reader gets right."""
    chance = random.Random(seed)
    trees = [grown(chance.randint(13, 24), chance) for _ in range(count)]
    with ig.no_grad():
        return sum((model(tree).item() > 0) == tree.value for tree in trees) / count


def main() -> None:
    """Train, test, and show a few."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--expressions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    model = train(chosen.expressions, chosen.seed)
    print(f"right about {accuracy(model):.1%} of larger expressions")
    chance = random.Random(2)
    for _ in range(3):
        tree = grown(5, chance)
        print(f"{tree}: {'true' if model(tree).item() > 0 else 'false'}, it says")


if __name__ == "__main__":
    main()
