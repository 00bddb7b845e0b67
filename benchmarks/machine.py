"""The header of every table of timings: on what it was measured, with what, and when."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("intaglio", "numpy", "torch")


def cpu_name() -> str:
    """The processor's name as the kernel states it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def vector_width() -> str:
    """The widest vector instructions that the processor states."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown"
    flags = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("asimd", "NEON"))
    return next((name for flag, name in flags if flag in text), "none of AVX2, NEON")


def compiler_version() -> str:
    """The first line of `cc --version`."""
    try:
        done = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no C compiler"
    return done.stdout.splitlines()[0]


def package_version(name: str) -> str:
    """The installed version of a package, or a dash."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def describe(threads: int) -> dict[str, str]:
    """What a reader must know to compare these timings with others."""
    return {
        "cpu": f"{cpu_name()} ({vector_width()})",
        "cores": str(len(os.sched_getaffinity(0))),
        "threads": str(threads),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
        "cc": compiler_version(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
