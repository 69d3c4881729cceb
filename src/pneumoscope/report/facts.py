"""Facts of a run folder, and their sentences for the card and the checklists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pneumoscope.data.layouts.findings import NEGATIVE, POSITIVE
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.new_patients import NewPatients
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.report import words
from pneumoscope.report.rendering import environment, texts
from pneumoscope.report.words import NAMES, calibration_words, facts_of, images_of
from pneumoscope.runs import RunFolder, rows_of

PARTS: Final = {**words.PARTS, "unused": "unused"}
_ANY_FINDING: Final = {NEGATIVE: "without any finding", POSITIVE: "with a finding"}
_EVALUATED: Final = {"test": "the test images", "val": "the validation images"}


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
        new_patients: Expected performance on new patients; None if no groups were held out.
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
                f"{root}: not a finished run ({', '.join(missing)} missing); create one with "
                "`train(DATA, out=DIR)`."
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
        """The main evaluation: that of ``test`` if there is one; None for several findings."""
        return self.evaluations.get("test") or self.evaluations.get("val")

    @property
    def best_of_findings(self) -> FindingsEvaluation | None:
        """The main evaluation of several findings; None for classes."""
        return self.findings.get("test") or self.findings.get("val")

    @property
    def evaluated(self) -> list[str]:
        """The parts it was evaluated on."""
        return [part for part in ("val", "test") if part in {*self.evaluations, *self.findings}]

    def say(self, name: str) -> str:
        """Return a fact as text, from a block of ``templates/facts.md``.

        For several findings, ``templates/findings_facts.md`` replaces some of them.
        """
        names = ("facts.md", "findings_facts.md") if self.info.findings else ("facts.md",)
        templates = [environment().get_template(each) for each in names]
        template = next(one for one in reversed(templates) if name in one.blocks)
        best = self.best
        found = best or self.best_of_findings
        context = template.new_context(
            {
                "facts": self,
                "info": self.info,
                "made": self.provenance,
                "images": sum(sum(count.values()) for count in self.counts.values()),
                "recipe": self.recipe,
                "found": found,
                "part_names": tuple(PARTS),
                "part_words": _EVALUATED,
                "evaluated_on": _EVALUATED.get(found.part if found else "", "no images"),
                "calibration": calibration_words(best.calibration_of_all if best else None),
                "level": level_text(found.question.level) if found else "no",
                "evidence_caveat": evidence_caveat(self.info),
                "best": best,
            }
        )
        return " ".join("".join(template.blocks[name](context)).split())

    def part(self, name: str) -> str:
        """Describe the images of a part by class."""
        count = self.counts.get(name)
        if not count:
            return f"no {PARTS[name]} images"
        who = f" of {self.patients[name]:,} patients" if name in self.patients else ""
        names = _ANY_FINDING if self.info.findings else {}
        held = ", ".join(f"{n:,} {names.get(label, label)}" for label, n in count.items())
        return f"{sum(count.values()):,} {PARTS[name]} images{who} ({held})"

    def performance(self, part: str = "") -> str:
        """Return the main metrics of a part with intervals; of the main one if empty."""
        judged: dict[str, Evaluation | FindingsEvaluation] = {**self.evaluations, **self.findings}
        found = judged.get(part) if part else self.best or self.best_of_findings
        if found is None:
            return ""
        if isinstance(found, FindingsEvaluation):
            kind, known = "findings_performance", {"found": found, "images": images_of(found)}
        else:
            kind, known = "performance", {"names": NAMES, **facts_of(found)}
        return texts("sections.yaml", kind, **known)["text"]


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
            f"{run.metrics}: cannot be read ({fault!r}); it may be from another version. Recreate "
            f"it with `evaluate({run.root}, DATA, split=test)` and "
            f"`evaluate({run.root}, DATA, split=val)`."
        ) from fault
