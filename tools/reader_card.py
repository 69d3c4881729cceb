"""Measure the numbers of the card of the included reader."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from pneumoscope.data.catalog import Catalog
from pneumoscope.data.phantom import render
from pneumoscope.evaluation.scores import Scores
from pneumoscope.images.prepare import prepare
from pneumoscope.parallel import cores
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.policy import NOT_ASSESSABLE
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import LoadedImage, load_image
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.training.augment import lung_fields
from reader_decision import describe, scores_of, split_of
from reader_numbers import SHOWN, computed, scores_to_dict

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from gate_numbers import others

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PHANTOMS = 200


@dataclass(frozen=True, slots=True)
class Card:
    """The card as text for people and as numbers for programs."""

    text: str
    numbers: dict[str, Any]


def write_card(
    model: Path, seeds: Sequence[dict[str, Any]], *, data: Path, native: Path | None
) -> Card:
    """Measure a reader on its validation images, on images that it must refuse, and on shortcuts.

    The results on shortcuts and evidence are also written into the card in the model file.

    Args:
        model: The model file.
        seeds: The result of ``of_run`` for each network.
        data: The images that it was trained on.
        native: Some of them at their original size.
    """
    bundle = open_bundle(model, threads=cores())
    catalog, split = split_of(bundle.info, data)
    validation = catalog.select(split.rows("val"))
    scores = scores_of(model, catalog, split)
    pixels = np.stack([prepare(validation.file(e), bundle.info.input) for e in validation.entries])
    shortcuts = _shortcuts(bundle, pixels, validation)
    evidence = _evidence(bundle, pixels[validation.labels == 1])
    bundle = describe(
        model,
        {
            "auc_validation": area_under_roc(scores.label, scores.logit),
            "auc_lungs_blanked": shortcuts["lung fields blanked out"],
            "auc_borders_alone": shortcuts["borders alone"],
            "evidence_peak_in_opacity": evidence["pointing_game"],
            "evidence_peak_in_opacity_by_chance": evidence["by_chance"],
        },
    )
    taken = [load_image(validation.file(e), bundle.info.input) for e in validation.entries]
    numbers: dict[str, Any] = {
        "bytes": model.stat().st_size,
        "sha256": bundle.sha256,
        "trained": len(split.rows("train")),
        "prevalence": float(catalog.labels.mean()),
        **computed(scores, bundle.info),
        "seeds": list(seeds),
        "shortcuts": shortcuts,
        "gate": _gate(model, taken),
        "evidence": evidence,
        "own_validation": _own_validation(bundle, catalog, scores),
        "native": None if native is None else _native(model, native, data),
        "scores": scores_to_dict(scores),
    }
    return Card(card_text(bundle, numbers), numbers)


def _own_validation(bundle: Bundle, catalog: Catalog, scores: Scores) -> dict[str, Any]:
    """Return the conclusions on the data's own small validation folder, which was not used."""
    own = catalog.select([row for row, e in enumerate(catalog.entries) if e.split == "val"])
    found: dict[str, Any] = {}
    gated, ungated = (
        [*Predictor(bundle.path, gated=on).predict_many(map(own.file, own.entries))]
        for on in (True, False)
    )
    for label, name in enumerate(catalog.classes):
        rows = np.flatnonzero(own.labels == label)
        conclusions = Counter(gated[row].conclusion for row in rows)
        probabilities = np.array([ungated[row].probability for row in rows], np.float64)
        found[name] = {
            "n": len(rows),
            "conclusions": dict(sorted(conclusions.items())),
            "median_probability": float(np.median(probabilities)),
            "median_of_validation": float(np.median(scores.probability[scores.label == label])),
        }
    return found


def card_text(bundle: Bundle, numbers: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    ).get_template("reader_card.md.j2")
    shown = [name for name in SHOWN if numbers["validation"][name]["value"] is not None]
    return template.render(info=bundle.info, shown=shown, **numbers)


def of_run(run: Path) -> dict[str, Any]:
    """Return the area under the ROC curve of one network alone, and its epochs."""
    scores = Scores.load(RunFolder(run).scores("val"))
    return {
        "run": run.name,
        "auc": area_under_roc(scores.label, scores.logit),
        "epochs": len(rows_of(RunFolder(run).log)),
    }


def _logits(bundle: Bundle, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    parts = [bundle.run(pixels[i : i + 32], ["logits"])[0] for i in range(0, len(pixels), 32)]
    return np.diff(np.concatenate(parts).astype(np.float64)).ravel()


def _shortcuts(bundle: Bundle, pixels: NDArray[np.uint8], catalog: Catalog) -> dict[str, float]:
    """Return the AUC on images with the lungs, or everything except the borders, removed."""
    labels = catalog.labels
    height, width = bundle.info.input.shape
    rows = np.linspace(-1, 1, height)[:, None]
    columns = np.linspace(-1, 1, width)
    border = (np.abs(rows) > 0.8) | (np.abs(columns) > 0.8)
    lungs = _lung_fields(height, width)
    found = {}
    for name, kept in (("lung fields blanked out", ~lungs), ("borders alone", border)):
        changed = pixels.copy()
        for image in changed:
            image[~kept] = round(float(image[kept].mean()))
        area = area_under_roc(labels, _logits(bundle, changed))
        assert area is not None
        found[name] = area
    return found


def _lung_fields(height: int, width: int) -> NDArray[np.bool_]:
    """Return two ellipses where the lungs of a frontal radiograph lie."""
    return lung_fields(1, height, width, vary=False)[0, 0].numpy()


def _gate(model: Path, known: Sequence[LoadedImage]) -> dict[str, Any]:
    """Return the numbers of refused validation images, and of other kinds of images."""
    predictor = Predictor(model, threads=cores())
    distance, refused = _judged(predictor, known)
    gate = predictor._bundle.feature_gate
    assert gate is not None
    kinds = {}
    for name, images in others(known, predictor.info.input):
        far, away = _judged(predictor, images)
        labels = np.r_[np.zeros(len(distance), np.int64), np.ones(len(far), np.int64)]
        kinds[name] = {
            "n": len(images),
            "refused": away,
            "auroc": area_under_roc(labels, np.r_[distance, far]),
            "beyond_limit": int((far > gate.farthest).sum()),
        }
    return {"validation": {"n": len(known), "refused": refused}, "kinds": kinds}


def _judged(predictor: Predictor, images: Sequence[LoadedImage]) -> tuple[NDArray[np.float64], int]:
    """Return the feature distance of each image, and the number of refused images."""
    bundle = predictor._bundle
    assert bundle.feature_gate is not None
    assert bundle.pixel_gate is not None
    distances, refused = [], 0
    for start in range(0, len(images), 32):
        some = images[start : start + 32]
        features = bundle.run(np.stack([one.pixels for one in some]), ["features"])[0]
        found = bundle.feature_gate.distribution.distance(features)
        distances += found.tolist()
        refused += sum(
            bool(bundle.pixel_gate.reasons(one.pixels, one.shape))
            or bool(bundle.feature_gate.reasons(float(far)))
            for one, far in zip(some, found, strict=True)
        )
    return np.array(distances), refused


def _evidence(bundle: Bundle, ill: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the pointing game on generated radiographs, whose opacities are known.

    A hit is a map whose peak lies in the opacity; chance is the opacity's share of the area. The
    share inside the lungs is that of the evidence for pneumonia. For real images with pneumonia, a
    hit is a peak in the lung fields.
    """
    size = bundle.info.input.shape
    hits, chance, inside, lungs, peaks = [], [], [], [], []
    for seed in range(_PHANTOMS):
        phantom = render("PNEUMONIA", patient_seed=seed, size_px=size)
        fine, peak = _fine_evidence(bundle, phantom.pixels)
        hits.append(bool(phantom.opacity[peak]))
        peaks.append(bool(phantom.lungs[peak]))
        chance.append(float(phantom.opacity.mean()))
        for_it = np.maximum(fine, 0)
        if for_it.sum() > 0:
            inside.append(float(for_it[phantom.lungs].sum() / for_it.sum()))
            lungs.append(float(phantom.lungs.mean()))
    fields = _lung_fields(*size)
    (coarse,) = bundle.run(ill[:1], ["evidence"])
    return {
        "n": len(hits),
        "pointing_game": float(np.mean(hits)),
        "by_chance": float(np.mean(chance)),
        "peak_in_lungs": float(np.mean(peaks)),
        "inside_lungs": float(np.mean(inside)),
        "lungs_share_of_area": float(np.mean(lungs)),
        "places": list(coarse.shape[1:]),
        "real_n": len(ill),
        "real_peak_in_lungs": float(
            np.mean([fields[_fine_evidence(bundle, pixels)[1]] for pixels in ill])
        ),
        "real_by_chance": float(fields.mean()),
    }


def _fine_evidence(
    bundle: Bundle, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the evidence at the size of an image, and its peak."""
    (found,) = bundle.run(pixels[None], ["evidence"])
    sides = pixels.shape[::-1]
    fine = np.asarray(
        Image.fromarray(found[0]).resize(sides, Image.Resampling.BILINEAR), np.float64
    )
    row, column = np.unravel_index(fine.argmax(), fine.shape)
    return fine, (int(row), int(column))


def _native(model: Path, native: Path, data: Path) -> dict[str, Any]:
    """Return the differences between files at their original size and their reduced copies."""
    reduced = {path.name: path for path in data.rglob("*.jpeg")}
    pairs = [(p, reduced[p.name]) for p in sorted(native.rglob("*.jpeg")) if p.name in reduced]
    predictor, gated = Predictor(model, gated=False), Predictor(model)
    sides = list(zip(*pairs, strict=True))
    read = [
        np.array([found.probability for found in predictor.predict_many(side)], np.float64)
        for side in sides
    ]
    refused = [
        sum(found.conclusion == NOT_ASSESSABLE for found in gated.predict_many(side))
        for side in sides
    ]
    difference = np.abs(read[0] - read[1])
    code = [predictor.policy.decide_many(side).code for side in read]
    return {
        "n": len(pairs),
        "mean": float(difference.mean()),
        "largest": float(difference.max()),
        "other_conclusion": int((code[0] != code[1]).sum()),
        "refused": refused,
    }
