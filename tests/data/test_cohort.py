"""Images with their parts and their relation to a reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoscope.data.catalog import Catalog, Entry, read_catalog
from pneumoscope.data.cohort import Cohort, Origin
from pneumoscope.data.patients import Patient
from pneumoscope.data.relation import Relation, TrainingRelation
from pneumoscope.data.split import UNUSED
from pneumoscope.errors import DataError, OptionError
from pneumoscope.workflow.train import Trained

CLASSES = ("NORMAL", "PNEUMONIA")


def catalog(contents: str, *, patients: str = "", root: str = "here") -> Catalog:
    """Return an image a content; patients are unknown where no letter names them."""
    names = patients or " " * len(contents)
    return Catalog(
        Path(root),
        tuple(
            Entry(
                f"{row}.png",
                CLASSES[row % 2],
                Patient.of(name, f"{row}.png"),
                "",
                sha256=content,
            )
            for row, (content, name) in enumerate(zip(contents, names, strict=True))
        ),
        CLASSES,
    )


ORIGIN = Origin(
    {"a": "train", "b": "train", "c": "val", "d": "test"},
    frozenset({Patient("p"), Patient("q")}),
    Path("/data"),
)


def relation(contents: str, *, patients: str = "", root: str = "here") -> tuple[bool, list[int]]:
    found = Cohort.of(catalog(contents, patients=patients, root=root), ORIGIN).relation
    assert found.known
    assert found.seen == sum(found.trained_on)
    return found.own, [row for row, trained_on in enumerate(found.trained_on) if trained_on]


def test_contents_are_known_wherever_they_lie() -> None:
    assert relation("xayzd") == (False, [1])
    assert relation("acd") == (True, [0])
    assert relation("xyz") == (False, [])


def test_names_of_patients_count_within_one_source_alone() -> None:
    assert relation("xyz", patients="ppq") == (False, [])  # others number their patients alike
    assert relation("dcx", patients="rrq") == (True, [2])  # most images are the run's
    assert relation("dxyz", patients="rpsq") == (False, [])
    assert relation("dxyz", patients="rpsq", root="/data") == (False, [1, 3])  # the same folder
    assert relation("wxyz", patients="rpsq", root="/data") == (False, [])  # filled anew


def test_a_model_file_knows_what_it_learnt_from_and_no_more() -> None:
    digests = ["ab12ff", "cd34ff", "ef56ff"]
    origin = Origin({"ab12": "train", "cd34": "val"}, digits=4, whole=False)
    entries = [replace(e, sha256=d) for e, d in zip(catalog("xyz").entries, digests, strict=True)]
    entries = [replace(e, split=p) for e, p in zip(entries, ("", "val", "test"), strict=True)]
    cohort = Cohort.of(Catalog(Path("here"), tuple(entries), CLASSES), origin)
    assert cohort.relation.trained_on == (True, False, False)
    assert not cohort.relation.own
    assert cohort.split.parts == ("", "val", "test")  # those of the data


def test_equal_names_of_files_prove_nothing(trained: Trained, phantoms: Path) -> None:
    origin = Origin.of_run(trained.run)
    assert origin is not None
    own = read_catalog(phantoms)
    assert Cohort.of(own, origin).relation.own
    other = Catalog(
        own.root,
        tuple(
            replace(entry, patient=Patient(entry.path, known=False), sha256=f"other {row}")
            for row, entry in enumerate(own.entries)
        ),
        own.classes,
    )
    assert Cohort.of(other, origin).relation.seen == 0


def test_the_parts_are_those_of_the_run_where_most_images_are() -> None:
    cohort = Cohort.of(catalog("abcdx"), ORIGIN)
    assert cohort.split.parts == ("train", "train", "val", "test", UNUSED)
    name, test = cohort.part(None)
    assert (name, [entry.sha256 for entry in test.catalog.entries]) == ("test", ["d"])
    assert test.relation.trained_on == (False,)
    _, train = cohort.part("train")
    assert train.relation.seen == 2
    name, everything = Cohort.of(catalog("xyz"), ORIGIN).part(None)
    assert (name, len(everything)) == ("all", 3)
    with pytest.raises(OptionError, match="one of train, val, test, all"):
        cohort.part("dev")
    with pytest.raises(DataError, match=r"no images in the set 'val'; available: all \(3\)"):
        everything.part("val")


def test_too_few_images_decide_nothing() -> None:
    few = Cohort.of(catalog("abcdx"), ORIGIN)
    assert few.too_few("val").startswith("1 images of 1 patients (1 NORMAL, 0 PNEUMONIA) are too")
    many = Cohort.of(catalog("".join(map(chr, range(200, 300)))))
    assert many.too_few("all") == ""
    assert many.select(range(99)).too_few("all").startswith("99 images of 99 patients")
    assert many.select(range(0, 100, 2)).too_few("val") == ""  # there is none


def test_a_run_tells_what_it_was_made_from(
    trained: Trained, phantoms: Path, tmp_path: Path
) -> None:
    origin = Origin.of_run(trained.run)
    assert origin is not None
    assert origin.root == phantoms
    cohort = Cohort.of(read_catalog(phantoms), origin)
    assert {part: len(cohort.rows(part)) for part in ("train", "test")} == {
        part: list(origin.part_of.values()).count(part) for part in ("train", "test")
    }
    assert not cohort.crossing
    _, test = cohort.part("test")
    assert test.relation.seen == 0
    assert Origin.of_run(type(trained.run)(tmp_path)) is None


@pytest.mark.parametrize(
    ("relation", "part", "word"),
    [
        (Relation(known=True, own=True, trained_on=(True,)), "train", TrainingRelation.TRAINING),
        (Relation(known=True, own=True, trained_on=(False,)), "val", TrainingRelation.VALIDATION),
        (Relation(known=True, own=True, trained_on=(False,)), "test", TrainingRelation.TEST),
        (Relation(known=True, own=True, trained_on=(True, False)), "all", TrainingRelation.OVERLAP),
        (Relation(known=True, trained_on=(True, False)), "test", TrainingRelation.OVERLAP),
        (Relation(known=True, trained_on=(False,), named=(True,)), "", TrainingRelation.SAME_NAMES),
        (Relation(known=True, trained_on=(False,)), "test", TrainingRelation.OTHER),
        (Relation(), "test", TrainingRelation.UNKNOWN),
    ],
)
def test_a_relation_has_a_word(relation: Relation, part: str, word: TrainingRelation) -> None:
    assert relation.to_part(part) is word
