"""Writes the Python module of schemas/program.proto anew, with the protoc that the oldest supported
protobuf came with.

    python tests/schemas/regenerate.py [folder]

That protoc comes from PyPI (grpcio-tools) and needs a protobuf older than the one that developers
run, so it lives in an environment of its own, `.venv-protoc`, which this script makes when it is
missing. The module works with every later protobuf, since protobuf supports generated code that is
older than its runtime."""

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = "grpcio-tools==1.60.0"  # holds protoc 25.0, of protobuf 4.25.0
PYTHON = ROOT / ".venv-protoc" / "bin" / "python"
FILES = ("program_pb2.py", "program_pb2.pyi")


def install() -> None:
    """Make the environment that holds the pinned protoc."""
    venv.create(PYTHON.parents[1], with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", TOOL, "setuptools<80"], check=True)


def generate(folder: Path) -> None:
    """Write the generated files into `folder`. The file's name inside protobuf's registry is that
    of the installed package, so that no other library's `program.proto` clashes with it."""
    with tempfile.TemporaryDirectory() as made:
        command = [PYTHON, "-m", "grpc_tools.protoc", f"-Iintaglio/schemas={ROOT / 'schemas'}"]
        command += [f"--python_out={made}", f"--pyi_out={made}", "intaglio/schemas/program.proto"]
        subprocess.run(command, check=True)
        for name in FILES:
            shutil.copy(Path(made, "intaglio", "schemas", name), folder / name)


if __name__ == "__main__":
    if not PYTHON.exists():
        install()
    generate(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "schemas")
