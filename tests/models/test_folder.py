"""Folders of weights and their ``weights.json``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pneumoscope.errors import WeightsError
from pneumoscope.models.folder import (
    Entry,
    Finding,
    add_to_folder,
    find_in_folder,
    read_manifest,
    verify_folder,
    weights_folder,
)


def entry(content: bytes, *, name: str = "timm:a.b", file: str = "a.b.safetensors") -> Entry:
    digits = hashlib.sha256(content).hexdigest()
    return Entry(name, file, digits, len(content), "MIT", "https://example.org/a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two files."""
    place = tmp_path / "packed"
    for content, name, file in (
        (b"first", "timm:a.b", "a.b.safetensors"),
        (b"second", "timm:a", "a.safetensors"),
    ):
        source = tmp_path / "source"
        source.write_bytes(content)
        add_to_folder(place, source, entry(content, name=name, file=file))
    return place


def test_what_is_added_is_found_and_right(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.b.safetensors",
        "a.safetensors",
        "weights.json",
    ]
    assert [row.name for row in read_manifest(folder)] == ["timm:a", "timm:a.b"]
    found = find_in_folder(folder, ["timm:a.b", "timm:a"])
    assert found == (folder / "a.b.safetensors", entry(b"first"))
    assert find_in_folder(folder, ["timm:a.c"]) is None
    assert find_in_folder(folder / "none", ["timm:a"]) is None
    assert verify_folder(folder) == [
        Finding("a.safetensors", "timm:a", "ok"),
        Finding("a.b.safetensors", "timm:a.b", "ok"),
    ]


def test_adding_again_replaces_the_row(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"newer")
    add_to_folder(folder, source, entry(b"newer"))
    assert len(read_manifest(folder)) == 2
    assert (folder / "a.b.safetensors").read_bytes() == b"newer"
    add_to_folder(folder, folder / "a.b.safetensors", entry(b"newer"))  # onto itself
    assert {found.state for found in verify_folder(folder)} == {"ok"}


def test_a_file_that_changed_meanwhile_is_not_added(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"other")
    with pytest.raises(WeightsError, match="changed while it was copied"):
        add_to_folder(folder, source, entry(b"first", file="c.safetensors"))
    assert not (folder / "c.safetensors").exists()


def test_verify_names_what_is_wrong(folder: Path) -> None:
    (folder / "a.b.safetensors").write_bytes(b"fir5t")
    (folder / "a.safetensors").write_bytes(b"secon")
    (folder / "loose.pth").write_bytes(b"?")
    (folder / "x.safetensors.part").write_bytes(b"?")
    (folder / "mobilenetv2_035.imagenet.safetensors").write_bytes(b"not what it says")
    (folder / "README.md").write_text("for people")
    found = {finding.file: finding for finding in verify_folder(folder)}
    assert found["a.safetensors"].says == "5 bytes instead of 6"
    assert "SHA-256" in found["a.b.safetensors"].says
    assert found["loose.pth"].state == "unchecked"
    assert found["x.safetensors.part"].says == "an unfinished download"
    known = found["mobilenetv2_035.imagenet.safetensors"]
    assert (known.name, known.state) == ("timm:mobilenetv2_035", "wrong")
    assert "README.md" not in found
    (folder / "a.safetensors").unlink()
    assert verify_folder(folder)[0] == Finding("a.safetensors", "timm:a", "wrong", "missing")
    with pytest.raises(WeightsError, match="weights pull timm:a"):
        find_in_folder(folder, ["timm:a"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "must be an object with the list"),
        ('{"weights": [{"name": "timm:a"}]}', "a row must have name, file, sha256, bytes"),
        ('{"weights": [7]}', "a row must have"),
    ],
)
def test_a_broken_manifest(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(WeightsError, match=says):
        read_manifest(tmp_path)


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "sub/a.safetensors", "", "..", "."])
def test_a_manifest_names_files_of_its_own_folder(folder: Path, file: str) -> None:
    content = json.loads((folder / "weights.json").read_text())
    content["weights"][0]["file"] = file
    (folder / "weights.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="must be the name of a file in this folder"):
        verify_folder(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        verify_folder(tmp_path / "none")


def test_where_weights_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    monkeypatch.delenv("PNEUMOSCOPE_WEIGHTS")
    assert weights_folder().name == "weights"
    assert weights_folder().parent.name == "pneumoscope"


def test_the_shared_weights_are_whole(shared: Path) -> None:
    found = verify_folder(shared / "weights")
    assert [(finding.name, finding.state) for finding in found] == [
        ("timm:mobilenetv2_035", "ok"),
        ("timm:mobilenetv2_100", "ok"),
    ]
