"""The folder of a study: plan, splits, runs and journal."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import DataError, OutputError
from pneumoscope.runs import RunFolder, version, write_json
from pneumoscope.training.log import Epoch, read_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pneumoscope.training.recipe import Recipe

PLAN, FACTS, JOURNAL, PAGE = "plan.yaml", "study.json", "journal.jsonl", "study.html"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a finished run.

    Attributes:
        val: Metrics on the validation rows: ``auc``, ``accuracy``, ``loss``; for several findings
            their means over the findings.
        held_out: The same on the held-out rows.
        threshold: Probability at or above which an image is called positive; None for several
            findings.
        epochs: Number of epochs.
        best_epoch: The epoch whose weights were kept.
        seconds: Duration of training and scoring.
        parameters: Number of parameters of the network.
        device: The kind of device.
        precision: Numerical precision.
        peak_bytes: Peak memory of the process; 0 if unknown.
        validation_images: Number of images that chose the epoch.
        thresholds: The threshold of each of several findings.
    """

    val: dict[str, float]
    held_out: dict[str, float]
    threshold: float | None
    epochs: int
    best_epoch: int
    seconds: float
    parameters: int
    device: str
    precision: str
    peak_bytes: int
    validation_images: int
    thresholds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyRun:
    """The folder of a run of a study."""

    root: Path

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.root.name

    @property
    def files(self) -> RunFolder:
        """The files shared with other runs."""
        return RunFolder(self.root)

    @property
    def asked(self) -> Path:
        """Title, split and identity of the run."""
        return self.root / "run.json"

    @property
    def result_file(self) -> Path:
        """The result, written last: a run that has it is finished."""
        return self.root / "result.json"

    @property
    def error_file(self) -> Path:
        """The reason of a failure."""
        return self.root / "error.json"

    @property
    def held_out(self) -> Path:
        """The scores of the held-out images."""
        return self.root / "scores-held-out.csv"

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return self.result_file.is_file()

    @property
    def state(self) -> str:
        """``done``, ``failed``, ``ended early``, ``begun`` or ``waiting``."""
        if self.finished:
            return "done"
        if self.error_file.is_file():
            return str(json.loads(self.error_file.read_text(encoding="utf-8"))["state"])
        return "begun" if self.files.log.is_file() else "waiting"

    def result(self) -> Result:
        """Return the result.

        Raises:
            DataError: The run is not finished, or its file is invalid.
        """
        try:
            return Result(**json.loads(self.result_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as fault:
            raise DataError(
                f"{self.result_file}: not a valid result of a run ({fault})."
            ) from fault

    def title(self) -> str:
        """Return the title of the run."""
        return str(json.loads(self.asked.read_text(encoding="utf-8"))["title"])

    def error(self) -> str:
        """Return the reason of a failure in one line; empty if it has not failed."""
        if not self.error_file.is_file():
            return ""
        return str(json.loads(self.error_file.read_text(encoding="utf-8"))["error"])

    def log(self) -> list[Epoch]:
        """Return the epochs of the run."""
        return read_log(self.files.log)

    def write_result(self, found: Result) -> None:
        """Write the result, which marks the run as finished."""
        write_json(self.result_file, asdict(found))

    def fail(self, error: str, *, more: str = "", state: str = "failed") -> None:
        """Record why the run failed or was stopped early."""
        write_json(self.error_file, {"state": state, "error": error, "more": more})


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """The folder of a study."""

    root: Path

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.root / PLAN

    @property
    def facts_file(self) -> Path:
        """Data, version and machine of the study."""
        return self.root / FACTS

    @property
    def page(self) -> Path:
        """The page of the study."""
        return self.root / PAGE

    @property
    def splits(self) -> Path:
        """The splits of the study."""
        return self.root / "splits"

    @property
    def figures(self) -> Path:
        """PNG, SVG and CSV of each figure."""
        return self.root / "figures"

    def facts(self) -> dict[str, Any]:
        """Return the recorded facts of the study.

        Raises:
            DataError: The folder is not a study.
        """
        try:
            found: dict[str, Any] = json.loads(self.facts_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise DataError(f"{self.root}: no study (no {FACTS} in it).") from fault
        return found

    def run(self, title: str, identity: str) -> StudyRun:
        """Return the folder of a run; an existing run with this identity keeps its folder."""
        for known in sorted((self.root / "runs").glob(f"*-{identity}")):
            return StudyRun(known)
        slug = re.sub(r"[^\w.=-]+", "_", title.replace(", ", "-"))[:60].strip("_")
        return StudyRun(self.root / "runs" / f"{slug}-{identity}")

    def runs(self) -> list[StudyRun]:
        """Return all existing runs."""
        return [StudyRun(place.parent) for place in sorted(self.root.glob("runs/*/run.json"))]

    def note(self, event: str, run: str = "", **more: object) -> None:
        """Append a line to the journal durably.

        Raises:
            OutputError: The journal cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = json.dumps({"time": now, "event": event, "run": run, **more}) + "\n"
        place = self.root / JOURNAL
        try:
            with place.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as fault:
            raise OutputError(f"{place}: cannot be written ({fault.strerror}).") from fault

    def journal(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of the journal, without an incomplete last line."""
        with contextlib.suppress(FileNotFoundError):
            for line in (self.root / JOURNAL).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


def identity(recipe: Recipe, *, fingerprint: str, split: str) -> str:
    """Return the identity of a run, from recipe, images, split and code version."""
    what: Mapping[str, object] = {
        "recipe": recipe.to_dict(),
        "data": fingerprint,
        "split": split,
        "version": version(),
    }
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def numbers_of(found: Result) -> dict[str, float]:
    """Return the metrics of a result, with names that include the part."""
    return {
        **{f"val_{name}": value for name, value in found.val.items()},
        **{f"held_out_{name}": value for name, value in found.held_out.items()},
        "seconds": found.seconds,
        "best_epoch": found.best_epoch,
    }


def files_of(run: StudyRun) -> list[Path]:
    """Return the files of a run for trackers, whether or not they exist."""
    return [run.files.model, run.files.config, run.files.log, run.held_out, run.result_file]
