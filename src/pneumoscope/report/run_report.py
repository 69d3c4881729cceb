"""The report of a training run, made from the files of its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from pneumoscope.data.split import UNUSED
from pneumoscope.evaluation.metrics import Metrics, measure
from pneumoscope.evaluation.scores import Scores
from pneumoscope.report.figures import (
    AugmentationSheet,
    ClassCounts,
    ConfusionMatrix,
    LearningCurves,
    RocCurve,
)
from pneumoscope.report.page import Panel, Report, Section, Statement, write_report
from pneumoscope.report.style import save
from pneumoscope.runs import write_csv
from pneumoscope.training.callbacks import Epoch, read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.data.split import Split
    from pneumoscope.runs import RunFolder
    from pneumoscope.training.recipe import Recipe

PARTS = {"train": "training", "val": "validation", "test": "test"}


class _Drawn(Protocol):
    CAPTION: ClassVar[str]

    def draw(self) -> Figure: ...
    def rows(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]: ...
    def summary(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Judged:
    """One part of the data, what was said of it, and the numbers."""

    part: str
    scores: Scores
    metrics: Metrics


def write_run_report(run: RunFolder, *, recipe: Recipe, data: PreparedData) -> None:
    """Write ``report.html`` and ``figures/`` of a run that has a model, scores and a log.

    Raises:
        OutputError: They cannot be written.
    """
    catalog, split = data.catalog, data.split
    facts = json.loads(run.provenance.read_text(encoding="utf-8"))
    judged = [
        _Judged(part, scores, measure(scores, threshold=_threshold(run)))
        for part in ("val", "test")
        if run.scores(part).is_file()
        for scores in [Scores.load(run.scores(part))]
    ]
    best = judged[-1]
    log = read_log(run.log)
    sections = [
        *(_outcome(run, item, catalog) for item in reversed(judged)),
        _learning(run, log, recipe, facts),
        _data(run, catalog, split),
        _augmentation(run, recipe, data),
        _recipe(recipe, facts),
    ]
    write_report(
        run.report,
        Report(
            title=run.root.name,
            question=f"Can a chest X-ray alone tell {catalog.positive} from {catalog.classes[0]}?",
            data=_data_line(catalog, split),
            answer=_answer(best),
            caveats=_caveats(best, catalog, recipe, facts),
            headline=_headline(best.metrics),
            sections=tuple(sections),
            footer=(
                f"pneumoscope {facts['packages'].get('pneumoscope', '')} · {facts['written']} · "
                f"data {catalog.fingerprint[:12]} · seed {recipe.seed}"
            ),
        ),
    )


def _threshold(run: RunFolder) -> float:
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    return float(metrics["val"]["threshold"]["value"])


def _panel(run: RunFolder, figure: _Drawn, name: str, title: str) -> Panel:
    header, rows = figure.rows()
    write_csv(run.figures / f"{name}.csv", header, rows)
    svg = save(figure.draw(), run.figures, name=name)
    return Panel(title, figure.CAPTION, svg=svg, alt=figure.summary())


def _data_line(catalog: Catalog, split: Split) -> str:
    patients = len({entry.patient for entry in catalog.entries})
    parts = ", ".join(
        f"{len(split.rows(part)):,} for {name}" for part, name in PARTS.items() if split.rows(part)
    )
    who = f" of {patients:,} patients" if catalog.patients_known else ""
    return f"{len(catalog):,} images{who}: {parts}"


def _answer(item: _Judged) -> str:
    found = item.metrics
    return (
        f"Read from the file alone, {found.accuracy.value:.1%} of {found.n:,} {PARTS[item.part]} "
        f"images were concluded rightly. A positive image ranks above a negative one with "
        f"probability {found.auc.text()} (AUC)."
    )


def _caveats(
    item: _Judged, catalog: Catalog, recipe: Recipe, facts: dict[str, Any]
) -> tuple[str, ...]:
    caveats = []
    if item.part == "val":
        caveats.append(
            "There was no test part: these are validation images, which also chose the epoch, so "
            "the numbers flatter the reader."
        )
    else:
        caveats.append(
            "The test part comes from the same source as the training images; in another hospital "
            "the numbers will be lower until they are measured there."
        )
    few = min(item.metrics.sensitivity.n, item.metrics.specificity.n)
    low, high = wilson(0.9, few)
    caveats.append(
        f"The smaller class has {few} images here: a share of 90% of them would be known no "
        f"better than from {low:.0%} to {high:.0%}."
    )
    if not catalog.patients_known:
        caveats.append(
            "File names do not tell the patient of every image; if patients have several images, "
            "they may stand on both sides of the split."
        )
    if facts["interrupted"]:
        caveats.append("Training was ended by hand before it would have stopped by itself.")
    caveats.append(f"One run with one seed ({recipe.seed}); another seed gives another reader.")
    return tuple(caveats[:3])


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n (Wilson, JASA 22, 1927); (0, 1) for none.

    >>> [round(x, 3) for x in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def _headline(found: Metrics) -> tuple[Statement, ...]:
    note = f"at probability ≥ {found.threshold:g}"
    return (
        Statement("AUC", found.auc.text(), found.auc.n),
        Statement("Sensitivity", found.sensitivity.text(), found.sensitivity.n, note),
        Statement("Specificity", found.specificity.text(), found.specificity.n, note),
        Statement("Balanced accuracy", found.balanced_accuracy.text(), found.n, note),
    )


def _outcome(run: RunFolder, item: _Judged, catalog: Catalog) -> Section:
    found = item.metrics
    note = f"at probability ≥ {found.threshold:g}"
    panels = [
        _panel(
            run,
            ConfusionMatrix(np.array(found.confusion), catalog.classes),
            f"confusion-{item.part}",
            "Conclusions and truth",
        )
    ]
    if found.auc.value is not None:
        # From logits, since float32 probabilities tie where the reader is very sure.
        fine = np.exp(-np.logaddexp(0, -item.scores.logit))
        curve = RocCurve.from_scores(item.scores.label, fine, threshold=found.threshold)
        panels.append(_panel(run, curve, f"roc-{item.part}", "Sensitivity against false alarms"))
    return Section(
        f"On the {PARTS[item.part]} images",
        statements=(
            *_headline(found),
            Statement("Accuracy", found.accuracy.text(), found.n, note),
            Statement("Loss", found.loss.text(4), found.n, "cross-entropy, nats"),
        ),
        panels=tuple(panels),
    )


def _learning(run: RunFolder, log: list[Epoch], recipe: Recipe, facts: dict[str, Any]) -> Section:
    curves = LearningCurves.from_columns(
        [row.epoch for row in log],
        loss=[row.loss for row in log],
        val_loss=[row.val_loss for row in log],
        accuracy=[row.accuracy for row in log],
        val_accuracy=[row.val_accuracy for row in log],
        best_epoch=facts["best_epoch"],
    )
    seconds = sorted(row.seconds for row in log)[len(log) // 2]
    ended = "was ended by hand" if facts["interrupted"] else "ended"
    return Section(
        "How it learnt",
        text=(
            f"Training {ended} after {len(log)} of at most {recipe.max_epochs} epochs (patience "
            f"{recipe.patience}); the weights of epoch {facts['best_epoch']} were kept. "
            f"A typical epoch took {seconds:.1f} s on {facts['device']} in {facts['precision']}. "
            "Training numbers are means over an epoch with augmentation and dropout on, so they "
            "may lie below the validation numbers."
        ),
        panels=(_panel(run, curves, "learning", "Loss and accuracy by epoch"),),
    )


def _data(run: RunFolder, catalog: Catalog, split: Split) -> Section:
    shown = {**PARTS, UNUSED: "set aside"}
    named = [
        (shown[part], entry.label)
        for part in shown
        for entry in catalog.select(split.rows(part)).entries
    ]
    figure = ClassCounts.from_labels([part for part, _ in named], [label for _, label in named])
    set_aside = len(split.rows(UNUSED))
    text = "No patient, and no image under two names, stands in two parts."
    if set_aside:
        text += f" {set_aside} images were set aside (see split.csv)."
    if catalog.unreadable:
        text += f" {len(catalog.unreadable)} files could not be read and were skipped."
    return Section(
        "The data",
        text=text,
        panels=(_panel(run, figure, "classes", "Images of each class"),),
    )


def _augmentation(run: RunFolder, recipe: Recipe, data: PreparedData) -> Section:
    sheet = augmentation_sheet(recipe, data)
    return Section(
        "What augmentation does",
        text="Training images only; validation and test images are never changed.",
        panels=(_panel(run, sheet, "augmentation", "Originals and augmented samples"),),
    )


def augmentation_sheet(
    recipe: Recipe, data: PreparedData, *, columns: int = 5
) -> AugmentationSheet:
    """Return two training images of each class beside augmented versions of them."""
    import torch  # noqa: PLC0415 - the report's other figures do without

    from pneumoscope.training.augment import augment, to_unit  # noqa: PLC0415

    catalog, rows = data.catalog, data.split.rows("train")
    chosen = [
        row
        for label in catalog.classes
        for row in [row for row in rows if catalog.entries[row].label == label][:2]
    ]
    originals = data.cache.take(data.cache.rows(catalog.entries[row] for row in chosen))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        repeated = torch.from_numpy(originals).repeat_interleave(columns, 0).unsqueeze(1)
        changed = augment(to_unit(repeated), recipe.augmentation)
    pixels = changed.mul(255).round().clamp(0, 255).to(torch.uint8).numpy()
    labels = tuple(catalog.entries[row].label for row in chosen)
    return AugmentationSheet(
        originals, pixels.reshape(len(chosen), columns, *originals.shape[1:]), labels
    )


def _recipe(recipe: Recipe, facts: dict[str, Any]) -> Section:
    rows = [(key, _text(value)) for key, value in recipe.to_dict().items()]
    machine = facts["machine"]
    rows += [(name, version) for name, version in facts["packages"].items()]
    rows.append(("machine", f"{machine['system']}, {machine['cores']} cores"))
    return Section("Recipe and environment", table=(("what", "value"), tuple(rows)))


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
    return str(value)
