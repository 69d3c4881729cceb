"""The plan of a long run: no image is lost or repeated, in an order that depends on names only."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.cluster import read_with_stub
from pneumoscope.cluster.listing import COLUMN, list_archive
from pneumoscope.cluster.shards import Plan, Shard, cut
from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.reader.archive.inputs import Unlisted


@given(st.integers(0, 60), st.integers(1, 8))
def test_shards_hold_each_item_once_and_are_cut_between_pairs(count: int, half: int) -> None:
    names = [f"{number}.png" for number in range(count)]
    shards = list(cut(iter(names), 2 * half))
    assert [item for shard in shards for item in shard.items] == names
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(len(shard.items) == 2 * half - (shard.number == 0) for shard in shards[:-1])


@pytest.mark.parametrize("size", [-2, 0, 1, 7])
def test_an_odd_size_is_refused(size: int) -> None:
    with pytest.raises(OptionError, match="an even number"):
        cut(["a"], size)


def test_what_a_shard_holds_comes_back_from_its_content() -> None:
    shard = Shard(3, ("a.png", os.fsdecode(b"\xff.png"), "a\nb", Unlisted("d", "d: closed.")))
    assert Shard.of(3, shard.content) == shard
    assert shard.digest != Shard(3, shard.items[::-1]).digest


def _planned(folder: Path, items: Iterator[str], size: int = 2) -> Plan:
    plan = Plan(folder)
    plan.start(cut(items, size), others=Counter({".md": 1}))
    return plan


def _all_of(plan: Plan) -> list[str]:
    found: list[str] = []
    number = 0
    while True:
        there = plan.has(number, timeout=5)
        assert there is not None
        if not there:
            return found
        found += [str(item) for item in plan.shard(number).items]
        number += 1


def test_shards_can_be_read_while_the_archive_is_listed(tmp_path: Path) -> None:
    def endless() -> Iterator[str]:
        number = 0
        while True:
            yield f"{number}.png"
            number += 1

    plan = _planned(tmp_path, endless())
    assert plan.has(0, timeout=20)
    assert plan.shard(0).items == ("0.png",)
    assert plan.has(5, timeout=20)
    assert plan.end is None
    plan.stop()


def test_a_plan_that_is_complete_is_not_listed_again(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    assert _all_of(_planned(tmp_path, iter(names))) == names
    again = _planned(tmp_path, iter(["other"]))
    assert _all_of(again) == names
    assert again.end is not None
    assert (again.end.shards, again.end.images) == (3, 4)
    assert again.end.others == {".md": 1}


def test_a_plan_that_was_cut_off_goes_on_with_the_same_archive_alone(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    _all_of(_planned(tmp_path, iter(names)))
    (tmp_path / "complete.json").unlink()
    (tmp_path / "0000002.json.gz").unlink()
    assert _all_of(_planned(tmp_path, iter(names))) == names
    (tmp_path / "complete.json").unlink()
    with pytest.raises(OutputError, match="shard 1, starting with new"):
        _all_of(_planned(tmp_path, iter(["a", "new", *names[1:]])))


def test_a_fault_of_the_listing_comes_after_what_was_listed(tmp_path: Path) -> None:
    def failing() -> Iterator[str]:
        yield from ("a", "b", "c")
        raise DataError("the list ends here.")

    plan = _planned(tmp_path, failing())
    assert plan.has(1, timeout=5)
    with pytest.raises(DataError, match="ends here"):
        plan.has(2, timeout=5)


def test_a_damaged_plan_says_what_to_do(tmp_path: Path) -> None:
    plan = _planned(tmp_path, iter("abc"))
    _all_of(plan)
    (tmp_path / "0000001.json.gz").write_bytes(gzip.compress(b'["b"')[:-3])
    with pytest.raises(OutputError, match=r"delete the folder .*`resume`"):
        plan.shard(1)
    (tmp_path / "complete.json").write_text("[]")
    with pytest.raises(OutputError, match="damaged"):
        Plan(tmp_path)


def test_a_plan_that_was_deleted_is_made_anew_and_checked_against_the_parts(
    tmp_path: Path,
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.png\nb.png\nc.png\n")
    out = tmp_path / "out"
    read_with_stub([str(listed)], out, shard_size=2)
    (out / "part-0000001.parquet").unlink()
    for file in (out / "_plan").iterdir():
        file.unlink()
    outcome, engine = read_with_stub([str(listed)], out, shard_size=2, resume=True)
    assert (outcome.read, engine.given) == (2, [1])
    for file in (out / "_plan").iterdir():
        file.unlink()
    listed.write_text("z.png\nb.png\nc.png\n")
    with pytest.raises(OutputError, match=r"shard 0, starting with z\.png"):
        read_with_stub([str(listed)], out, shard_size=2, resume=True)


def _manifest(place: Path, names: list[str], column: str = COLUMN) -> str:
    pyarrow.parquet.write_table(pyarrow.table({"id": [*range(len(names))], column: names}), place)
    return str(place)


def test_an_archive_is_folders_lists_manifests_and_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.png", "a.png", "notes.md"):
        (folder / name).write_bytes(b"x")
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"one.png\r\n\ntwo.png")
    manifest = _manifest(tmp_path / "m.parquet", ["x.png", "y.png"])
    others: Counter[str] = Counter()
    given = [str(folder), str(listed), manifest, "single.png"]
    found = list(list_archive(given, listed_in=str(listed), others=others))
    assert found == [
        *(str(folder / "a.png"), str(folder / "b.png"), "one.png", "two.png"),
        *("x.png", "y.png", "single.png", "one.png", "two.png"),
    ]
    assert others == {".md": 1}


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda place: _manifest(place, ["a"], "file"), "needs a column 'path'"),
        (lambda place: _manifest(place, ["", "a"]), "row 1 has no path"),
        (lambda place: place.write_bytes(b"PAR1 but no more"), "not a readable Parquet file"),
        (lambda place: _manifest(place, []), "contains no images"),
        (lambda _: None, "cannot be read"),
    ],
)
def test_a_manifest_that_names_no_images_is_refused(
    write: object, message: str, tmp_path: Path
) -> None:
    assert callable(write)
    place = tmp_path / "m.parquet"
    write(place)
    with pytest.raises(DataError, match=message):
        list(list_archive([str(place)]))


def test_an_address_whose_package_is_missing_or_unknown_says_so() -> None:
    with pytest.raises(DataError, match="nosuch://bucket: cannot be opened"):
        list(list_archive(["nosuch://bucket"]))


_SIMULATION = """
import json, sys, time
from pathlib import Path
from helpers.cluster import read_with_stub
manifest, out, resume = sys.argv[1:]
begun = time.monotonic()
outcome, engine = read_with_stub([manifest], Path(out), shard_size=5000, resume=resume == "1")
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps([outcome.tally.images, len(engine.given), peak, time.monotonic() - begun]))
"""


def _simulated(manifest: str, out: Path, *, resume: bool = False) -> tuple[int, int, int, float]:
    paths = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", _SIMULATION, manifest, str(out), str(int(resume))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    images, shards, peak, seconds = json.loads(done.stdout)
    return images, shards, peak, seconds


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_million_paths_pass_the_planner_in_constant_memory(tmp_path: Path) -> None:
    peaks = []
    for count in (50_000, 1_000_000):
        name = "archive/{:02d}/{:02d}/1.2.826.0.1.3680043.8.498.{:012d}.dcm"
        names = [name.format(n % 97, n % 89, n) for n in range(count)]
        manifest = _manifest(tmp_path / f"{count}.parquet", names)
        del names
        out = tmp_path / str(count)
        images, shards, peak, _ = _simulated(manifest, out)
        assert (images, shards) == (count, count // 5000 + 1)
        peaks.append(peak)
    small, large = peaks
    assert large < 400  # MB
    assert large - small < 60, peaks
    images, shards, _, seconds = _simulated(manifest, out, resume=True)
    assert (images, shards) == (1_000_000, 0)
    assert seconds < 30
