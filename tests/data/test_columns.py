"""The columns of a table that define subgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.data.columns import manifest_columns
from pneumoscope.errors import DataError


def test_columns_that_mean_something_else_are_left_out(tmp_path: Path) -> None:
    manifest = tmp_path / "images.csv"
    manifest.write_text("path,label,patient,sex,device\n a.png ,X,1,F, A\nb.png,Y,2,M,\n")
    assert manifest_columns(manifest) == {
        "sex": {"a.png": "F", "b.png": "M"},
        "device": {"a.png": "A", "b.png": ""},
    }
    manifest.write_text("path,label\n")
    assert manifest_columns(manifest) == {}


def test_folders_have_no_columns_and_other_files_are_named(tmp_path: Path) -> None:
    assert manifest_columns(tmp_path) == {}
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match=r"cannot be read as a CSV file \(its text is not UTF-8"):
        manifest_columns(tmp_path / "image.png")
