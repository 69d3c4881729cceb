"""A model file knows what it learnt from, without names."""

from __future__ import annotations

import hashlib
import json

import pytest

from helpers.tiny_model import tiny_info
from pneumoscope.reader.model_file import training_hashes as learnt
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.model_file.training_hashes import (
    hashes_of,
    known_hashes,
    learnt_each,
    learnt_from,
)


def names(start: int, stop: int) -> list[str]:
    return [hashlib.sha256(str(each).encode()).hexdigest() for each in range(start, stop)]


def test_it_counts_what_it_learnt_from_after_being_written_and_read() -> None:
    info = tiny_info(learnt=hashes_of(names(0, 300), names(300, 340)))
    read = ModelInfo.from_json(info.to_json())
    assert read.learnt == info.learnt
    assert learnt_from(read, names(250, 400)) == 50
    assert learnt_from(read, names(250, 400), part="val") == 40
    assert learnt_from(read, names(340, 2000)) == 0
    assert learnt_from(tiny_info(), names(0, 10)) == 0
    assert read.learnt["train"]["images"] == 300
    assert learnt_each(read, names(298, 302)) == (True, True, False, False)
    assert learnt_each(tiny_info(), names(0, 2)) == (False, False)


def test_it_is_compact_and_holds_no_whole_hash() -> None:
    text = json.dumps(hashes_of(names(0, 5000)))
    assert len(text) < 41_000
    assert names(0, 1)[0] not in text


def test_of_very_many_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learnt, "MOST", 100)
    kept = hashes_of(names(0, 1000))
    assert kept["train"]["images"] == 1000
    assert len(known_hashes(kept)) == 100
    assert learnt_from(tiny_info(learnt=kept), names(0, 1000)) == 100


@pytest.mark.parametrize(
    "damaged",
    [
        {"train": {"hashes": "AAAA"}},
        {"bytes": 6, "train": {"hashes": "AAAA"}},
        {"bytes": 6, "train": {"hashes": "?"}},
        {"bytes": 0, "train": {"hashes": "AAAA"}},
        {"bytes": 6, "train": 7},
    ],
)
def test_damaged_hashes_are_an_error(damaged: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="damaged"):
        learnt_from(tiny_info(learnt=damaged), names(0, 1))
