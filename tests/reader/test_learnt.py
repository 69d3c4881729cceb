"""A model file identifies its training images, without names."""

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
from pneumoscope.runs import name_digest


def digests(start: int, stop: int) -> list[str]:
    return [hashlib.sha256(str(each).encode()).hexdigest() for each in range(start, stop)]


def files(start: int, stop: int) -> list[tuple[str, str]]:
    numbers = range(start, stop)
    return [
        (f"train/{n}.jpeg", digest) for n, digest in zip(numbers, digests(start, stop), strict=True)
    ]


def test_it_counts_what_it_learnt_from_after_being_written_and_read() -> None:
    info = tiny_info(learnt=hashes_of(files(0, 300), files(300, 340)))
    read = ModelInfo.from_json(info.to_json())
    assert read.learnt == info.learnt
    assert learnt_from(read, digests(250, 400)) == 50
    assert learnt_from(read, digests(250, 400), part="val") == 40
    assert learnt_from(read, digests(340, 2000)) == 0
    assert learnt_from(tiny_info(), digests(0, 10)) == 0
    assert read.learnt["train"]["images"] == 300
    assert learnt_each(read, digests(298, 302)) == (True, True, False, False)
    assert learnt_each(tiny_info(), digests(0, 2)) == (False, False)


def test_it_is_compact_and_holds_no_whole_hash() -> None:
    text = json.dumps(hashes_of(files(0, 5000)))
    assert len(text) < 82_000
    assert digests(0, 1)[0] not in text


def test_of_very_many_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learnt, "MOST", 100)
    kept = hashes_of(files(0, 1000))
    assert kept["train"]["images"] == 1000
    assert len(known_hashes(kept)) == 100
    assert learnt_from(tiny_info(learnt=kept), digests(0, 1000)) == 100


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
        learnt_from(tiny_info(learnt=damaged), digests(0, 1))


def test_names_are_known_without_folder_suffix_and_case() -> None:
    kept = hashes_of([("train/NORMAL/IM-0115-0001.jpeg", digests(0, 1)[0])])
    known = known_hashes(kept, of="names")
    size = len(next(iter(known)))
    assert bytes.fromhex(name_digest("else/im-0115-0001.PNG"))[:size] in known
    assert bytes.fromhex(name_digest("IM-0116-0001.jpeg"))[:size] not in known
    del kept["train"]["names"]  # files written before names were kept
    assert known_hashes(kept, of="names") == frozenset()
