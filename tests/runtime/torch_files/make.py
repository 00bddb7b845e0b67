"""Writes the files beside it with torch, and what they hold as `.npz`.

    python tests/runtime/torch_files/make.py

Needs torch 2.13; the files are committed, so that tests read what torch wrote without having it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A small net after two steps."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        (net(torch.randn(4, 3)) ** 3).sum().backward()
        optimizer.step()
    return net, optimizer


def every_dtype() -> dict[str, torch.Tensor]:
    """2 by 3 numbers of each dtype that is read."""
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 uint16 uint32 uint64"
    values = torch.arange(6).reshape(2, 3)
    made = {name: values.to(getattr(torch, name)) for name in names.split()}
    return made | {"bool": values % 2 == 0}


def views() -> dict[str, torch.Tensor]:
    """Tensors that share a storage, with strides, offsets and sizes of 0."""
    base = torch.arange(24, dtype=torch.float32)
    return {
        "base": base,
        "tied": base,
        "columns": base.reshape(4, 6).t(),
        "part": base.reshape(4, 6)[1:3, ::2],
        "spread": base[5:6].expand(4),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


def main() -> None:
    """Write all files."""
    net, optimizer = trained()
    torch.save(net.state_dict(), HERE / "state_dict.pt")
    torch.save(net.state_dict(), HERE / "before_1_6.pt", _use_new_zipfile_serialization=False)
    checkpoint = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": np.float64(0.75),
        "history": [1.5, (None, True, "text")],
        "plain": {1, 2},
        "milestones": Counter([3, 3, 5]),
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "bytes": b"\x00\xff",
        "large": 1 << 70,
        "numpy": np.arange(6.0).reshape(2, 3).T,
    }
    torch.save(checkpoint, HERE / "checkpoint.pt")
    torch.save(every_dtype(), HERE / "dtypes.pt")
    torch.save(views(), HERE / "views.pt")
    torch.save({"z": torch.zeros(2, dtype=torch.complex64)}, HERE / "complex.pt")
    torch.save({"s": torch.eye(2).to_sparse()}, HERE / "sparse.pt")
    torch.save(net, HERE / "module.pt")
    np.savez(HERE / "state_dict.npz", **{k: v.numpy() for k, v in net.state_dict().items()})


if __name__ == "__main__":
    main()
