"""Facts of a run folder as short sentences, for the card and the checklists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError
from pneumoscope.evaluation.decision import decision_text
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.new_patients import NewPatients
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.report.class_sections import classes_in_a_sentence
from pneumoscope.report.words import NAMES, calibration_words, images_of
from pneumoscope.runs import RunFolder, rows_of

PARTS: Final = {
    "train": "training",
    "val": "validation",
    "test": "test",
    "unused": "set aside",
}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The contents of the files of a run.

    Attributes:
        root: Its folder.
        info: What its model file says of itself.
        sha256: The hash of the model file.
        provenance: What ``provenance.json`` holds.
        evaluations: What ``metrics.json`` holds, a part each.
        findings: The same of a run of several findings, whose ``evaluations`` are empty.
        counts: Images of each label in each part.
        patients: Patients of each part; empty where the patients are not known.
        modes: The kinds of pixels, with their number.
        draws_evidence: Whether the model shows where a conclusion comes from.
        new_patients: What to expect on new patients; None where no groups were held out.
    """

    root: Path
    info: ModelInfo
    sha256: str
    provenance: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    findings: dict[str, FindingsEvaluation] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    patients: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    draws_evidence: bool = False
    new_patients: NewPatients | None = None

    @classmethod
    def read(cls, root: Path) -> RunFacts:
        """Read the facts of a run folder.

        Raises:
            DataError: It is no run that was finished.
            ModelFileError: Its model file is none.
        """
        run = RunFolder(root)
        missing = [
            path.name
            for path in (run.model, run.provenance, run.metrics, run.catalog, run.split)
            if not path.is_file()
        ]
        if missing:
            raise DataError(
                f"{root}: no finished run (no {', '.join(missing)} in it); "
                "`train(DATA, out=DIR)` writes one."
            )
        bundle = open_bundle(run.model)
        try:
            parts = {row["path"]: row["split"] for row in rows_of(run.split)}
            entries = rows_of(run.catalog)
            counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
            people: dict[str, set[str]] = {part: set() for part in PARTS}
            for row in entries:
                part = parts.get(row["path"], "unused")
                counts[part][row["label"]] += 1
                people[part].add(row["patient"])
            known = all(Patient.of(row["patient"], row["path"]).known for row in entries)
            return cls(
                root,
                bundle.info,
                bundle.sha256,
                json.loads(run.provenance.read_text(encoding="utf-8")),
                {} if bundle.info.findings else _evaluations(run, Evaluation.from_dict),
                _evaluations(run, FindingsEvaluation.from_dict) if bundle.info.findings else {},
                {part: dict(sorted(count.items())) for part, count in counts.items() if count},
                {part: len(names) for part, names in people.items() if names} if known else {},
                dict(Counter(row["mode"] for row in entries).most_common()),
                "evidence" in bundle.outputs,
                _new_patients(run),
            )
        except (KeyError, ValueError) as fault:
            raise DataError(f"{root}: a file of this run cannot be read ({fault!r}).") from fault

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe, as recorded in ``provenance.json``."""
        return dict(self.provenance.get("recipe", {}))

    @property
    def best(self) -> Evaluation | None:
        """The main evaluation: that of ``test`` if there is one."""
        found = (self.evaluations.get(part) for part in ("test", "val"))
        return next((one for one in found if one is not None), None)

    @property
    def evaluated(self) -> list[str]:
        """The parts it was evaluated on."""
        return [part for part in ("val", "test") if part in self.evaluations]

    def intended(self) -> str:
        """Return the intended use stated in the model file."""
        return ", ".join(f"{key} {value}" for key, value in self.info.intended.items())

    def kinds_of_pixels(self) -> str:
        """Return the pixel types in the data, with their numbers."""
        return ", ".join(f"{mode} ({n:,})" for mode, n in self.modes.items())

    def data(self) -> str:
        """Describe the images in one sentence."""
        images = sum(sum(count.values()) for count in self.counts.values())
        text = f"{images:,} labelled images"
        if self.patients:
            text += f" of {sum(self.patients.values()):,} patients"
        text += f"; fingerprint {str(self.provenance.get('data_fingerprint', ''))[:16]}"
        skipped = self.provenance.get("unreadable", 0)
        return f"{text}; {skipped} files could not be read and were left out."

    def part(self, name: str) -> str:
        """Describe the images of a part by class."""
        count = self.counts.get(name)
        if not count:
            return "no images set aside" if name == "unused" else f"no {PARTS[name]} images"
        who = f" of {self.patients[name]:,} patients" if name in self.patients else ""
        held = ", ".join(f"{n:,} {label}" for label, n in count.items())
        return f"{sum(count.values()):,} {PARTS[name]} images{who} ({held})"

    def parts(self) -> str:
        """Describe all parts."""
        return "; ".join(self.part(name) for name in PARTS if name in self.counts) + "."

    def split(self) -> str:
        """Describe how the parts were made."""
        recipe = self.recipe
        drawn = "drawn patient by patient and stratified by class"
        ways = {
            "auto": f"validation is the data's own part where that is large enough, else {drawn}",
            "grouped": f"validation is {drawn}",
            "block": f"validation is a block of patient numbers ({recipe.get('block', '')})",
            "groups": "validation is a block of patient numbers, or drawn where there are none; "
            f"groups ({recipe.get('groups')}) were held out in turn and decide",
            "kfold": f"validation is fold {recipe.get('fold')} of {recipe.get('folds')}, {drawn}",
            "folder": "validation is the data's own part",
            "file": "all parts are from a split file",
        }
        way = ways.get(str(recipe.get("validation")), str(recipe.get("validation")))
        if "test" in self.counts and recipe.get("validation") != "file":
            share = recipe.get("test_fraction")
            way += f"; test is {drawn}" if share else "; test is the data's own part"
        known = (
            "Parts are disjoint by patient and by identical image"
            if self.patients
            else "Parts are disjoint by identical image; not all patients are known, so parts "
            "may share patients"
        )
        return f"{way}; seed {recipe.get('seed')}. {known}."

    def input(self) -> str:
        """Describe the preprocessing of images."""
        spec = self.info.input
        return (
            f"each file is decoded to grey levels and resized ({spec.resize}) to "
            f"{spec.width_px} x {spec.height_px} pixels by one code path for training, evaluation "
            "and reading; normalisation is part of the network."
        )

    def network(self) -> str:
        """Describe the network and its initial weights."""
        text = f"{self.info.name}"
        options = self.recipe.get("model_options")
        if options:
            text += f" ({', '.join(f'{key} {value}' for key, value in options.items())})"
        weights = self.provenance.get("weights")
        if not weights:
            return f"{text}; weights drawn at random (seed {self.recipe.get('seed')})."
        said = [
            f"{key} {weights[key]}" for key in ("credit", "licence", "sha256") if weights.get(key)
        ]
        source = Path(str(weights.get("source", ""))).name
        return f"{text}; initialised with pretrained weights from {source} ({'; '.join(said)})."

    def training(self) -> str:
        """Describe the training."""
        recipe, facts = self.recipe, self.provenance
        changes = [
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in recipe.get("augmentation", {}).items()
            if value
        ]
        return (
            f"preset {recipe.get('preset')}: {recipe.get('optimizer')}, learning rate "
            f"{recipe.get('learning_rate')}, batches of {recipe.get('batch_size')}, "
            f"{facts.get('epochs')} of at most {recipe.get('max_epochs')} epochs, patience "
            f"{recipe.get('patience')}; epoch {facts.get('best_epoch')} was kept. Augmentation: "
            f"{', '.join(changes) or 'none'}. Class balance: {recipe.get('balance', 'none')}. "
            f"{facts.get('seconds_training')} s on {facts.get('device')} in "
            f"{facts.get('precision')}."
        )

    def decisions(self) -> str:
        """Describe what was fitted on validation images."""
        point, zone = self.info.operating_point, self.info.conformal
        line = None if self.best is None else self.best.calibration_of_all
        text = (
            f"Calibration: {calibration_words(line)}. Positive if the probability is "
            f"{point.threshold:.4g} or higher (rule {point.rule})."
        )
        if zone is not None:
            held = " and ".join(
                f"{n} {name}" for n, name in zip(zone.n, self.info.classes, strict=True)
            )
            text += (
                f" Uncertain if more than one class is plausible at error level {zone.level:g} "
                f"(conformal, class by class; from {held} validation images)."
            )
        if self.new_patients is not None:
            return f"{text} All of this was chosen over groups that were held out in turn."
        return f"{text} All of this was chosen on validation images only."

    def gate(self) -> str:
        """Describe which images the reader refuses."""
        if not self.info.gate:
            return "none; every image that can be decoded gets a conclusion."
        refused = ["too small, too elongated, coloured, flat, or mostly black or white"]
        if "look" in self.info.gate:
            refused.append("rotated, or unlike a chest X-ray at low resolution")
        if "features" in self.info.gate:
            refused.append(
                "unlike the training images in the features of the network (a limit that refuses "
                "about 1% of the validation images)"
            )
        return f"images are refused if they are {'; or '.join(refused)}."

    def software(self) -> str:
        """Return the versions of the software."""
        packages = ", ".join(
            f"{name} {version}" for name, version in self.provenance.get("packages", {}).items()
        )
        commit = self.provenance.get("commit")
        where = self.provenance.get("machine", {})
        return (
            f"{packages}; Python {self.provenance.get('python')}"
            + (f"; commit {commit}" if commit else "")
            + f"; {where.get('system', '')}, {where.get('cores', '')} cores."
        )

    def performance(self, part: str = "") -> str:
        """Return the main metrics of a part with intervals; of the main one if empty."""
        found = self.evaluations.get(part) if part else self.best
        if found is None:
            return ""
        text = f"on the {images_of(found)}: {'; '.join(_in_words(found, key) for key in _MAIN)}."
        deployed = decision_text(found)
        text = f"{deployed} At the threshold alone, {text}" if deployed else text
        return f"{text} {classes_in_a_sentence(found)}".rstrip()


_MAIN = ("auc", "sensitivity", "specificity", "balanced_accuracy")


def _in_words(found: Evaluation, key: str) -> str:
    """Return a number with its interval and method as text."""
    number = found[key]
    name = NAMES[key] if key == "auc" else NAMES[key].lower()
    if not number.range_text():
        return f"{name} {number.text()}"
    return (
        f"{name} {number.text()} ({level_text(number.level)} interval {number.range_text()}, "
        f"{number.method}, n = {number.n})"
    )


_Value = TypeVar("_Value")


def _new_patients(run: RunFolder) -> NewPatients | None:
    if not run.new_patients.is_file():
        return None
    try:
        return NewPatients.from_dict(json.loads(run.new_patients.read_text(encoding="utf-8")))
    except TypeError as fault:
        raise ValueError(f"{run.new_patients.name}: {fault}") from fault


def _evaluations(run: RunFolder, read: Callable[[Mapping[str, Any]], _Value]) -> dict[str, _Value]:
    """Return the evaluations in ``metrics.json``.

    Args:
        run: The run.
        read: Makes an evaluation of JSON values.

    Raises:
        DataError: Another version wrote it.
    """
    try:
        parts = json.loads(run.metrics.read_text(encoding="utf-8"))
        return {part: read(values) for part, values in parts.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise DataError(
            f"{run.metrics}: cannot be read ({fault!r}); it may be from another version. Write "
            f"it again with `evaluate({run.root}, DATA, split=test)`, and the same with val."
        ) from fault
