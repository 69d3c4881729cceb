"""The scores file, and where its rows come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import DataError
from pneumoscope.evaluation.scores import Scores, score
from pneumoscope.reader.predictor import Predictor
from pneumoscope.workflow.train import Trained


def test_scores_survive_their_file_to_the_last_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    logit = generator.normal(size=50) * 5
    before = Scores(
        tuple(f"a,{i}\n.png" for i in range(50)),
        tuple(f"p{i // 2}" for i in range(50)),
        generator.integers(0, 2, 50),
        logit,
        1 / (1 + np.exp(-logit)),
    )
    before.save(tmp_path / "scores.csv")
    after = Scores.load(tmp_path / "scores.csv")
    assert (after.path, after.patient) == (before.path, before.patient)
    for name in ("label", "logit", "probability"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na,1\n",
        "path,patient,label,logit,probability\na,p,x,0,0.5\n",
        "path,patient,label,logit,probability\na,p,2,0,0.5\n",
        "path,patient,label,logit,probability\na,p,1,0,1.5\n",
        "path,patient,label,logit,probability\na,p,1,0,nan\n",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"scores\.csv"):
        Scores.load(path)


def test_unreadable_files_have_no_scores(trained: Trained, phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    catalog = read_catalog(data)
    victim = catalog.entries[3]
    content = catalog.file(victim).read_bytes()
    catalog.file(victim).write_bytes(content[: len(content) // 2])
    scores, bad = score(Predictor(trained.run.root), catalog)
    assert [item.path for item in bad] == [victim.path]
    expected = [entry.path for entry in catalog.entries if entry is not victim]
    assert list(scores.path) == expected
    labels = {entry.path: entry.label == "PNEUMONIA" for entry in catalog.entries}
    assert [labels[path] for path in scores.path] == scores.label.astype(bool).tolist()
