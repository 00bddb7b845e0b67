"""The precompiled prelude: made once, checked, given up where it does not work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from intaglio.runtime import build as building, cache as caching, precompiled, toolchain

UNIT = precompiled.INCLUDE + "float f{0}(float x) {{ return ig1_exp_f32(x) + {0}.0f; }}\n"

pytestmark = pytest.mark.skipif(
    not toolchain.find_toolchain().precompiles, reason="the compiler here is not gcc"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[caching.Cache]:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_known", {})
    monkeypatch.setattr(precompiled, "_checked", {})
    yield caching.open_cache()


def entries(cache: caching.Cache) -> list[Path]:
    return list(cache.folder.glob("*" + precompiled.ENDING))


def units(*numbers: int) -> list[str]:
    return [UNIT.format(k) for k in numbers]


def test_it_is_made_by_the_second_build_and_changes_nothing(
    cache: caching.Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = building.build(units(1), ("f1",)).read_bytes()
    assert not entries(cache)
    building.build(units(2), ("f2",))
    (entry,) = entries(cache)
    age = entry.stat().st_mtime_ns
    cache.path(building.build(units(1)).stem, building.ENDING).unlink()
    with_it = building.build(units(1), ("f1",)).read_bytes()
    assert with_it == plain
    assert entry.stat().st_mtime_ns == age


def test_many_units_make_it_at_once(cache: caching.Cache) -> None:
    library = building.open_library(units(1, 2, 3), ("f1", "f2", "f3"))
    assert entries(cache)
    assert library.f3 is not None


def test_gcc_reads_it(cache: caching.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    building.build(units(1, 2, 3))
    empty = cache.folder.parent / "headers"
    empty.mkdir()
    (empty / precompiled.HEADER).write_text("#error the header itself was read\n")
    tools = toolchain.find_toolchain()
    ours = str(toolchain.HEADERS[0])
    flags = tuple(f.replace(ours, str(empty)) for f in tools.flags)
    other = toolchain.Toolchain(tools.command, flags, tools.fingerprint, True)
    content = building.compile_library(units(4), other, 60.0, cache)
    assert b"f4" in content


def test_a_damaged_one_is_made_again(cache: caching.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    building.build(units(1, 2, 3))
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:5000] + b"?" + whole[5001:])
    building.build(units(4))
    assert entry.read_bytes()[-caching.TRAILER :] == caching._trailer(
        entry.read_bytes()[: -caching.TRAILER], entry.stem
    )
    assert entry.read_bytes()[5000:5001] == whole[5000:5001]


def test_one_that_breaks_the_build_is_given_up(cache: caching.Cache) -> None:
    building.build(units(1, 2, 3))
    (entry,) = entries(cache)
    header = toolchain.HEADERS[0] / precompiled.HEADER
    bad = cache.folder.parent / "bad.gch"
    tools = toolchain.find_toolchain()
    wrong = cache.folder.parent / "wrong.h"
    wrong.write_text(f'#include "{header}"\nint f4(void);\n')  # clashes with the unit's f4
    command = tools.precompile_command(str(wrong), str(bad))
    building._run([command], str(cache.folder.parent), tools, 60.0)
    cache.write(entry.stem, precompiled.ENDING, bad.read_bytes())
    library = building.open_library(units(4), ("f4",))
    assert library.f4 is not None
    assert entry.stat().st_size == caching.TRAILER
    building.build(units(5))
    assert entry.stat().st_size == caching.TRAILER
