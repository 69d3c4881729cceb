"""An archive in an object store: a server of S3 on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from helpers.cluster import rows
from helpers.object_store import BUCKET, object_store
from pneumoscope.cli import main
from pneumoscope.cluster.listing import list_archive

if find_spec("moto") is None or find_spec("s3fs") is None:
    pytest.skip("moto and s3fs are not installed (extra 'dev')", allow_module_level=True)

# Their packages use what Python will drop some day.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """Return the file system of an empty store."""
    with object_store() as files:
        yield files


@pytest.fixture(scope="module")
def filled(store: Any, phantoms: Path) -> list[str]:
    """Fill a folder of the store, and return the names of its images in order."""
    images = sorted(phantoms.rglob("*.jpeg"))[:8]
    for number, image in enumerate(images):
        store.pipe(f"{BUCKET}/a/{number % 2}/{number}.jpeg", image.read_bytes())
    store.pipe(f"{BUCKET}/a/0/damaged.png", b"\x89PNG\r\n\x1a\n and no more")
    store.pipe(f"{BUCKET}/a/0/empty", b"")
    store.pipe(f"{BUCKET}/a/.hidden.png", b"")
    store.pipe(f"{BUCKET}/a/notes.md", b"read me")
    store.pipe(f"{BUCKET}/ab/other.png", b"not of this folder")
    first = [
        f"0/{name}" for name in ("0.jpeg", "2.jpeg", "4.jpeg", "6.jpeg", "damaged.png", "empty")
    ]
    return [
        f"s3://{BUCKET}/a/{name}"
        for name in (*first, "1/1.jpeg", "1/3.jpeg", "1/5.jpeg", "1/7.jpeg")
    ]


def test_the_images_of_a_folder_are_listed_in_the_order_of_their_names(filled: list[str]) -> None:
    others: Counter[str] = Counter()
    assert list(list_archive([f"s3://{BUCKET}/a"], others=others)) == filled
    assert others == {"hidden": 1, ".md": 1}
    assert list(list_archive([f"s3://{BUCKET}/a/"])) == filled
    assert list(list_archive([filled[0]])) == [filled[0]]


def test_more_objects_than_a_page_are_listed(store: Any) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - it may be missing
    from moto.s3.models import s3_backends  # noqa: PLC0415 - the same

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # the server is in this process
    for number in range(1005):
        backend.put_object(BUCKET, f"many/{number:04d}.png", b"x")
    found = list(list_archive([f"s3://{BUCKET}/many"]))
    assert found == [f"s3://{BUCKET}/many/{number:04d}.png" for number in range(1005)]


def test_a_store_is_read_as_a_folder_is(store: Any, filled: list[str], tmp_path: Path) -> None:
    for name in filled:
        local = tmp_path / name.removeprefix(f"s3://{BUCKET}/")
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(store.cat_file(name))
    (tmp_path / "a" / "notes.md").write_text("read me")
    one, many = tmp_path / "one.parquet", tmp_path / "many"
    assert main(["predict", str(tmp_path / "a"), "--out", str(one)]) == 3
    words = ["--engine", "processes", "--workers", "1", "--shard-size", "4"]
    assert main(["predict", f"s3://{BUCKET}/a", "--out", str(many), *words]) == 3
    local_names = str(rows(one)).replace(str(tmp_path), f"s3://{BUCKET}")
    assert str(rows(many)) == local_names


def test_a_manifest_in_the_store_names_objects_and_what_is_gone_is_a_row(
    store: Any, filled: list[str], tmp_path: Path
) -> None:
    names = [filled[0], f"s3://{BUCKET}/gone.png", "s3://no-such-bucket/a.png"]
    with store.open(f"{BUCKET}/manifest.parquet", "wb") as file:
        pyarrow.parquet.write_table(pyarrow.table({"path": names}), file)
    out = tmp_path / "out"
    words = ["--engine", "processes", "--workers", "1", "--shard-size", "4"]
    assert main(["predict", f"s3://{BUCKET}/manifest.parquet", "--out", str(out), *words]) == 3
    found = rows(out)
    assert [row["path"] for row in found] == names
    assert found[0]["error"] == ""
    assert all("cannot be read" in row["error"] for row in found[1:])


def test_a_bucket_that_is_not_there_says_so(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "s3://no-such-bucket/a", "--out", str(tmp_path / "out")]
    assert main([*words, "--engine", "processes"]) == 1
    assert "s3://no-such-bucket/a: cannot be listed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
