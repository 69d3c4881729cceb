"""The cache: files are decoded once; it is complete or absent, shared, and never stale."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.files import dicom_file, encoded
from pneumoscope.data import cache as cache_module
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import DataError, NoDecoderError, OutputError, UnreachableImageError
from pneumoscope.images.prepare import InputSpec, prepare, prepare_bytes
from pneumoscope.images.read import read_bytes
from pneumoscope.runs import rows_of

SPEC = InputSpec(32, 32)


@pytest.fixture
def data(phantoms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(phantoms, tmp_path / "data"))


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that will hold each file that is decoded from now on."""
    seen: list[Path] = []

    def spy(content: bytes, spec: InputSpec, *, name: str) -> object:
        seen.append(Path(name))
        return prepare_bytes(content, spec, name=name)

    monkeypatch.setattr(cache_module, "prepare_bytes", spy)
    return seen


def test_rows_are_what_prepare_gives(data: Path, tmp_path: Path) -> None:
    catalog = read_catalog(data)
    cache, catalog = build_cache(catalog, SPEC, home=tmp_path / "home")
    found = cache.take(cache.rows(catalog.entries))
    expected = np.stack([prepare(catalog.file(entry), SPEC) for entry in catalog.entries])
    np.testing.assert_array_equal(found, expected)
    mapped = np.load(cache.folder / "pixels.npy", mmap_mode="r")
    assert mapped.shape == (len(cache), 32, 32)


def test_a_second_build_decodes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = read_catalog(data)
    build_cache(catalog, SPEC, home=tmp_path / "home")
    seen = decoded(monkeypatch)
    build_cache(catalog, SPEC, home=tmp_path / "home")
    assert seen == []


def test_only_changed_files_are_decoded_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(read_catalog(data), SPEC, home=tmp_path / "home")
    first, second = sorted((data / "train" / "NORMAL").iterdir())[:2]
    first.write_bytes(second.read_bytes()[:-2] + b"\xff\xd9\n")
    catalog = read_catalog(data)
    seen = decoded(monkeypatch)
    cache, catalog = build_cache(catalog, SPEC, home=tmp_path / "home")
    assert seen == [first]
    expected = np.stack([prepare(catalog.file(entry), SPEC) for entry in catalog.entries])
    np.testing.assert_array_equal(cache.take(cache.rows(catalog.entries)), expected)


def test_dicom_images_keep_their_record_in_the_cache_and_the_catalog(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, label in enumerate(("NORMAL", "PNEUMONIA")):
        (data / label).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 4096, (50, 40), dtype=np.uint16)
        uids: dict[str, Any] = {
            "StudyInstanceUID": f"1.2.{number}",
            "SOPInstanceUID": f"1.2.{number}.3",
        }
        window: dict[str, Any] = {"WindowCenter": 2047, "WindowWidth": 4093, "BitsStored": 12}
        (data / label / "a.dcm").write_bytes(dicom_file(pixels, **uids, **window))
    (data / "NORMAL" / "b.png").write_bytes(encoded(np.full((40, 40), 9, np.uint8)))
    read = read_catalog(data)
    built, _ = build_cache(read, SPEC, home=tmp_path / "home")
    opened, _ = build_cache(read, SPEC, home=tmp_path / "home")
    part, _ = build_cache(read.select([0, 1]), SPEC, home=tmp_path / "home")  # from its neighbour
    for cache in (built, opened, part):
        record = cache.dicom[read.entries[0].sha256]
        assert record.study_uid == "1.2.0"
        assert "2047" in record.voi
        assert read.entries[1].sha256 not in cache.dicom
    read.save(tmp_path / "catalog.csv", dicom=opened.dicom)
    rows = rows_of(tmp_path / "catalog.csv")
    assert rows[0]["sop_instance_uid"] == "1.2.0.3"
    assert rows[0]["transfer_syntax"] == "1.2.840.10008.1.2.1"
    assert rows[0]["decoder"]
    assert rows[0]["inverted"] == "false"
    assert rows[1]["study_uid"] == rows[1]["inverted"] == ""
    read.save(tmp_path / "plain.csv")
    assert "study_uid" not in rows_of(tmp_path / "plain.csv")[0]


def test_another_input_is_another_cache(data: Path, tmp_path: Path) -> None:
    catalog = read_catalog(data)
    small, _ = build_cache(catalog, SPEC, home=tmp_path / "home")
    wide, _ = build_cache(catalog, InputSpec(32, 48), home=tmp_path / "home")
    assert small.folder.parent != wide.folder.parent


def test_files_that_fail_while_decoding_are_dropped_and_named(data: Path, tmp_path: Path) -> None:
    victim = sorted((data / "train" / "PNEUMONIA").iterdir())[0]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])  # its header is whole
    before = read_catalog(data)
    cache, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert len(catalog) == len(before) - 1 == len(cache)
    assert victim.name in catalog.unreadable[0].path
    assert "damaged" in catalog.unreadable[0].reason
    _, again = build_cache(before, SPEC, home=tmp_path / "home")
    assert again.unreadable == catalog.unreadable


def test_a_killed_build_leaves_nothing_half_valid(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pneumoscope.data.cache import build_cache\n"
        "from pneumoscope.data.catalog import read_catalog\n"
        "from pneumoscope.images.prepare import InputSpec\n"
        "def slow(done, total):\n"
        "    if done == 5: print('five', flush=True); time.sleep(60)\n"
        "build_cache(read_catalog(Path(sys.argv[1])), InputSpec(32, 32), home=Path(sys.argv[2]),\n"
        "            progress=slow)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(data), str(home)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "five\n"
        process.kill()
    (shelf,) = home.iterdir()
    left = sorted(place.name for place in shelf.iterdir())
    assert [name.endswith(".lock") or name.startswith(".building-") for name in left] == [True] * 2
    seen = decoded(monkeypatch)
    catalog = read_catalog(data)
    cache, _ = build_cache(catalog, SPEC, home=home)
    assert len(seen) == len(cache)
    assert [folder.name for folder in shelf.iterdir()] == [cache.folder.name]


def test_two_processes_may_build_at_once(data: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pneumoscope.data.cache import build_cache\n"
        "from pneumoscope.data.catalog import read_catalog\n"
        "from pneumoscope.images.prepare import InputSpec\n"
        "catalog = read_catalog(Path(sys.argv[1]))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "cache, _ = build_cache(catalog, InputSpec(32, 32), home=Path(sys.argv[2]))\n"
        "print(cache.folder, int(cache.take(cache.rows(catalog.entries)).sum()))\n"
    )
    command = [sys.executable, "-c", code, str(data), str(tmp_path / "home")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n", timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert answers[0] == answers[1]
    (shelf,) = (tmp_path / "home").iterdir()
    assert len(list(shelf.iterdir())) == 1


def test_caches_that_nobody_opened_for_a_month_are_removed(data: Path, tmp_path: Path) -> None:
    catalog = read_catalog(data)
    old, _ = build_cache(catalog, SPEC, home=tmp_path / "home")
    month_ago = time.time() - 31 * 24 * 3600
    os.utime(old.folder, (month_ago, month_ago))
    new, _ = build_cache(catalog.select(range(10)), SPEC, home=tmp_path / "home")
    assert new.folder.exists()
    assert not old.folder.exists()


def test_an_unwritable_place_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="PNEUMOSCOPE_CACHE"):
        build_cache(read_catalog(data), SPEC, home=tmp_path / "file")


def fetched(monkeypatch: pytest.MonkeyPatch, fault: OSError, *, victim: Path) -> None:
    """Let one file fail to be read, as on a network folder that goes away for a moment."""

    def reading(path: Path) -> bytes:
        if path == victim:
            raise UnreachableImageError(f"{path}: cannot be read ({fault.strerror}).") from fault
        return read_bytes(path)

    monkeypatch.setattr(cache_module, "read_bytes", reading)


def test_a_passing_fault_is_no_fact_of_the_content(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_catalog(data)
    victim = before.file(before.entries[0])
    fetched(monkeypatch, OSError(errno.EIO, "Input/output error"), victim=victim)
    cache, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert len(cache) == len(catalog) == len(before) - 1
    assert catalog.unreadable[0].reason == f"{victim}: cannot be read (Input/output error)."
    monkeypatch.setattr(cache_module, "read_bytes", read_bytes)
    seen = decoded(monkeypatch)
    cache, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert seen == [victim]  # and nothing else is decoded again
    assert catalog == before
    np.testing.assert_array_equal(
        cache.take(cache.rows(catalog.entries[:1]))[0], prepare(victim, SPEC)
    )


def test_a_missing_decoder_is_no_fact_of_the_content(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_catalog(data)
    victim = before.file(before.entries[0])

    def preparing(content: bytes, spec: InputSpec, *, name: str) -> object:
        if Path(name) == victim:
            raise NoDecoderError(f"{name}: no decoder for JPEG-LS is installed.")
        return prepare_bytes(content, spec, name=name)

    monkeypatch.setattr(cache_module, "prepare_bytes", preparing)
    _, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert [item.path for item in catalog.unreadable] == [before.entries[0].path]
    monkeypatch.setattr(cache_module, "prepare_bytes", prepare_bytes)
    assert build_cache(before, SPEC, home=tmp_path / "home")[1] == before


def test_another_decoder_is_another_cache(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = read_catalog(data)
    first, _ = build_cache(catalog, SPEC, home=tmp_path / "home")
    monkeypatch.setattr(cache_module, "_decoders", lambda: ["pillow 0", "no imagecodecs"])
    other, _ = build_cache(catalog, SPEC, home=tmp_path / "home")
    assert first.folder.parent != other.folder.parent


def test_a_file_that_changed_since_it_was_listed_is_not_kept_under_its_old_name(
    data: Path, tmp_path: Path
) -> None:
    before = read_catalog(data)
    first, second = (before.file(entry) for entry in before.entries[:2])
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    cache, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert before.entries[0].sha256 not in cache.row_of
    assert "changed since" in catalog.unreadable[0].reason
    first.write_bytes(content)
    cache, catalog = build_cache(before, SPEC, home=tmp_path / "home")
    assert catalog == before
    np.testing.assert_array_equal(
        cache.take(cache.rows(catalog.entries[:1]))[0], prepare(first, SPEC)
    )


def test_a_damaged_cache_is_named_and_harms_no_other(data: Path, tmp_path: Path) -> None:
    catalog = read_catalog(data)
    cache, _ = build_cache(catalog, SPEC, home=tmp_path / "home")
    pixels = cache.folder / "pixels.npy"
    pixels.write_bytes(pixels.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot be read .*remove this folder"):
        build_cache(catalog, SPEC, home=tmp_path / "home")
    part, _ = build_cache(catalog.select(range(10)), SPEC, home=tmp_path / "home")
    expected = np.stack([prepare(catalog.file(entry), SPEC) for entry in catalog.entries[:10]])
    np.testing.assert_array_equal(part.take(part.rows(catalog.entries[:10])), expected)


def test_what_fails_meanwhile_is_not_blamed_on_the_cache(data: Path, tmp_path: Path) -> None:
    def gone(done: int, total: int) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        build_cache(read_catalog(data), SPEC, home=tmp_path / "home", progress=gone)
