"""Hogwild: several processes train one shared model, each on its share of the images, and nobody
waits for anybody (Niu, Recht, Re and Wright, 2011). The model's weights lie in shared memory; every
process has a compiled step, its own gradients and its own optimizer, and writes where it likes.

    python examples/hogwild.py                    # three seeds: alone, then with two processes
    python examples/hogwild.py --processes 4 --seeds 1

The digits are those of examples/mnist_cnn.py. Both ways take every image once in an epoch. After 8
epochs the accuracies on the 1,000 held-out images are 96.3, 95.5 and 95.2 % for the seeds 0 to 2
alone, and with two processes 96.0, 96.1 and 96.2 % in one run: there they differ from run to run.
(Steps that do not wait for each other act like momentum, so the optimizer's own is small.)
"""

from __future__ import annotations

import argparse
import time

from classification import Arrays, accuracy
from mnist_cnn import data, net

import intaglio as ig
import intaglio.multiprocessing as mp
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.data import BatchSampler, DistributedSampler

BATCH = 32


def train(
    rank: int, processes: int, model: nn.Module, images: Arrays, epochs: int, seed: int
) -> None:
    """Train a model that others may be training too on every `processes`-th image."""
    ig.set_num_threads(1)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.5)

    @ig.jit
    def step(x: ig.Tensor, t: ig.Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), t).backward()
        optimizer.step()

    x, t = ig.from_numpy(images["x"]), ig.from_numpy(images["t"])
    share = DistributedSampler(t, processes, rank, seed=1000 * seed)
    for epoch in range(epochs):
        share.set_epoch(epoch)
        for rows in BatchSampler(share, BATCH, drop_last=True):
            step(x[rows], t[rows])


def alone(model: nn.Module, images: Arrays, epochs: int, seed: int) -> None:
    """Train in this process."""
    train(0, 1, model, images, epochs, seed)


def together(model: nn.Module, images: Arrays, epochs: int, seed: int, processes: int) -> None:
    """Train in several processes at once."""
    model.share_memory()
    arguments = (processes, model, images, epochs, seed)
    mp.start_processes(train, arguments, nprocs=processes, start_method="fork")


def main() -> None:
    """Train both ways with several seeds, and tell the accuracies on held-out images."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    images, held_out = data()
    for seed in range(chosen.seeds):
        told = []
        for name in ("alone", f"{chosen.processes} processes"):
            ig.manual_seed(seed)
            model = net()
            start = time.perf_counter()
            if name == "alone":
                alone(model, images, chosen.epochs, seed)
            else:
                together(model, images, chosen.epochs, seed, chosen.processes)
            seconds = time.perf_counter() - start
            told.append(f"{name} {100 * accuracy(model, held_out):.1f} % in {seconds:.0f} s")
        print(f"seed {seed}: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
