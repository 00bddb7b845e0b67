"""ResNet-18, defined in torch's style (examples/models/resnet.py), as one file: exported for any
number of images, run by the command line, and timed.

    python examples/resnet18.py                                       # random weights
    python examples/resnet18.py --weights resnet18.safetensors --out resnet18.ig

Weights are taken under the names that torchvision's ResNet has, from .safetensors or .npz. The two
photographs come with scikit-learn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from models.resnet import resnet18
from sklearn.datasets import load_sample_images

import intaglio as ig
from intaglio.runtime import load

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Array = np.ndarray[Any, Any]


def images(size: int) -> Array:
    """Two photographs, the middle of each, as f32[2,3,size,size] in the scale of ImageNet."""
    found = []
    for image in load_sample_images().images:
        height, width, _ = image.shape
        step = max(1, min(height, width) // size)
        top, left = (height - step * size) // 2, (width - step * size) // 2
        found.append(image[top : top + step * size : step, left : left + step * size : step])
    pixels = (np.stack(found) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)


def save(path: Path, size: int, weights: Path | None = None) -> Path:
    """Trace the network for any number of images into a file."""
    ig.manual_seed(0)
    model = resnet18().eval()
    if weights:
        model.load_state_dict(ig.load_weights(weights))
    n = ig.Dim("n", min=1, max=256)
    program = ig.trace(model, ig.spec((n, 3, size, size), ig.float32))
    program.save(path, metadata={"size": size})
    return path


def classify(path: Path, size: int) -> Array:
    """The classes with the highest scores, found by the command line in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        x, y = Path(folder) / "x.npy", Path(folder) / "y.npy"
        np.save(x, images(size))
        command = [sys.executable, "-m", "intaglio", "run", path, "--input", f"x={x}"]
        subprocess.run([*command, "--output", y], check=True)
        return np.load(y).argmax(1)


def throughput(path: Path, size: int, batch: int, seconds: float = 2.0) -> float:
    """Images per second in batches of a size."""
    model, x = load(path), np.resize(images(size), (batch, 3, size, size))
    model(x)
    count, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        model(x)
        count += batch
    return count / spent


def main() -> None:
    """Export, run, and time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--weights", type=Path, help="a .safetensors or .npz file")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--out", type=Path, help="where to write the file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = save(chosen.out or Path(folder) / "resnet18.ig", chosen.size, chosen.weights)
        print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")
        print(f"classes of the two photographs: {classify(path, chosen.size).tolist()}")
        for batch in (1, 8):
            print(f"batch {batch}: {throughput(path, chosen.size, batch):.1f} images/s")


if __name__ == "__main__":
    main()
