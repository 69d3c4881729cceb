"""What a recipe learns from: copies of a picture stay together, and few images are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.copies import write_copies
from pneumoscope.data.split import UNUSED
from pneumoscope.errors import LeakError
from pneumoscope.training.recipe import recipe_of
from pneumoscope.watch import Watcher
from pneumoscope.workflow.prepare import prepare_data, report_plan


class Heard(Watcher):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.mark.parametrize(
    ("near_copies", "aside", "files"),
    [("tie", {"film0", "twin", "film1", "film2"}, 7), ("ignore", {"film0", "twin"}, 3)],
)
def test_pictures_of_the_test_part_are_not_learnt_from(
    tmp_path: Path, near_copies: str, aside: set[str], files: int
) -> None:
    data, heard = write_copies(tmp_path / "data"), Heard()
    recipe = recipe_of("seed", near_copies=near_copies, val_fraction=0.2)
    prepared = prepare_data(data, recipe, split_file=None, workers=1, watcher=heard)
    unused = {
        Path(entry.path).stem
        for entry, part in zip(prepared.catalog.entries, prepared.split.parts, strict=True)
        if part == UNUSED
    }
    assert unused == aside
    assert not prepared.cohort.crossing

    report_plan(recipe, prepared, heard)
    assert any(f"in {files} files" in text for text in heard.said)
    (few,) = [text for text in heard.warned if text.startswith("validation: ")]
    assert (
        "are too few to base decisions on; at least 100 images are needed, 20 of each class" in few
    )


def test_a_split_file_that_tears_near_copies_apart_is_refused(tmp_path: Path) -> None:
    data, watcher = write_copies(tmp_path / "data"), Watcher()
    recipe = recipe_of("seed", val_fraction=0.2)
    prepared = prepare_data(data, recipe, split_file=None, workers=1, watcher=watcher)
    rows = ["path,split"]
    for entry, part in zip(prepared.catalog.entries, prepared.split.parts, strict=True):
        torn = Path(entry.path).stem == "film1"  # its mirror image is in the test set
        rows.append(f"{entry.path},{'train' if torn else part}")
    file = tmp_path / "split.csv"
    file.write_text("\n".join(rows) + "\n")

    def read(near_copies: str, *, drawn: bool = False) -> int:
        changed = recipe_of("seed", near_copies=near_copies, validation="file")
        found = prepare_data(
            data, changed, split_file=file, drawn=drawn, workers=1, watcher=watcher
        )
        return len(found.split.rows("test"))

    with pytest.raises(LeakError, match="Near copies count too"):
        read("tie")
    assert read("ignore") == read("tie", drawn=True) == len(prepared.split.rows("test"))
