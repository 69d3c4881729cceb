"""Adapt a model file to a site's own images, without labels.

Weights and biases of convolutions are changed so that their channels have, on the site's images,
the statistics of training images of the same classes. The classes are estimated by the reader's own
probabilities: the prevalence of a site affects the statistics, and correcting this as a change of
the images would bias the conclusions. Calibration, threshold and uncertain zone are unchanged;
``recalibrate`` fits them if there are labels. Requires the package ``onnx`` (extra ``adapt``), but
no training framework.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.adaptation.layers import Layer, Moments, layers_of
from pneumoscope.adaptation.measure import behind_adapted, by_class
from pneumoscope.adaptation.reference import finding_groups, unpacked
from pneumoscope.adaptation.rewrite import renormalised
from pneumoscope.adaptation.site import (
    MOST,
    Distance,
    SiteImages,
    batches_of,
    check_distance,
    check_site,
    distance,
    read_site,
)
from pneumoscope.errors import DataError, ModelFileError, in_range
from pneumoscope.parallel import cores
from pneumoscope.reader.archive.inputs import iterate_images
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.model_file.metadata import KEY
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.model_file.verify import finish
from pneumoscope.runs import written_whole
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

STRENGTH = 0.1
"""Strength of the adaptation, before shrinkage by the number of images. It is small, since no
held-out group improved with a higher strength (docs/explanation/adaptation.md)."""

SHRINKAGE = 100
"""Number of images for which the statistics of a site have the same weight as those of training."""

_BATCH = 32  # number of images that are normalised together while they are measured
_LARGE_MOVE = 1.0  # logits


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a reader on the site's images.

    Attributes:
        positive: Share of images at or above the threshold; of any finding, for several.
        mean_logit: Mean logit of the positive group; of the most probable finding, for several.
    """

    positive: float
    mean_logit: float


@dataclass(frozen=True, slots=True)
class Adapted:
    """The result of an adaptation, and the path of the new model.

    Attributes:
        model: The new file.
        images: Numbers of files: ``given``, ``used``, ``unreadable``, ``copies`` and ``refused``.
        distance: Distance of the site from the training images.
        share: Effective strength, 0 to 1: strength times n / (n + ``SHRINKAGE``).
        before: Scores of the old model.
        after: Scores of the new model.
        changed: Share of images on different sides of the threshold before and after; of any
            finding, for several.
    """

    model: Path
    images: dict[str, int]
    distance: Distance
    share: float
    before: Scored
    after: Scored
    changed: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"model": str(self.model), **self.change(), "images": self.images}

    def change(self) -> dict[str, Any]:
        """Return the entry of the model's history."""
        return {
            "images": self.images["used"],
            "left_out": {name: self.images[name] for name in ("unreadable", "copies", "refused")},
            "distance": self.distance.to_dict(),
            "share": self.share,
            "positive_before": self.before.positive,
            "positive_after": self.after.positive,
            "mean_logit_before": self.before.mean_logit,
            "mean_logit_after": self.after.mean_logit,
            "changed": self.changed,
        }


def adapt(
    model: Path | str,
    images: Sequence[str],
    out: Path,
    *,
    reference: Sequence[str] = (),
    strength: float = STRENGTH,
    watcher: Watcher | None = None,
) -> Adapted:
    """Write a model file whose statistics are moved towards those of a site's images.

    The images need no labels. They should be representative of the site: consecutive, unselected
    examinations, since the prevalence also affects the statistics.

    Args:
        model: A run folder or a model file; ``shipped`` for the included reader. It is not changed.
        images: Files, folders or patterns, as for ``predict``; at least 100 distinct images.
        out: The new model file.
        reference: Training images of the reader, instead of the statistics in its file; required
            for files without them.
        strength: Strength of the adaptation for many images, 0 to 1.
        watcher: Receives progress reports.

    Raises:
        DataError: The images are too few, outside the intended use or too far from training, or the
            statistics of the training images are unknown.
        ModelFileError: There is no model, or its graph cannot be adapted.
        OptionError: The strength is not from 0 to 1.
        OutputError: The file cannot be written.

    Example:
        >>> adapt("shipped", ["radiographs/"], Path("site.onnx"))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    in_range("strength", strength, low=0, high=1)
    bundle = open_bundle(model, threads=cores())
    graph, layers = _layers(bundle)
    known = _reference(bundle, graph, layers, reference, watcher)
    with watcher.progress("reading the site's images") as progress:
        site = read_site(bundle, iterate_images(list(images)), progress=progress)
    check_site(site)
    classes = _class_probabilities(bundle, site)
    alike = known.mixed(classes.mean(0))
    far = _distance(graph, layers, site, alike)
    check_distance(far)
    share = strength * len(site.pixels) / (len(site.pixels) + SHRINKAGE)
    new = behind_adapted(
        graph,
        layers,
        batches_of(site.pixels, classes, size=_BATCH),
        reference=known,
        share=share,
        threads=cores(),
    )
    changed = renormalised(graph, layers, reference=alike, site=new, share=share)
    found = _written(bundle, changed, out, site=site, distance=far, share=share)
    _warn(found, watcher)
    return found


def _layers(bundle: Bundle) -> tuple[onnx.ModelProto, tuple[Layer, ...]]:
    import onnx  # noqa: PLC0415 - of the extra "adapt"

    graph = onnx.load_from_string(read_model(bundle.path))
    return graph, layers_of(graph, bundle.path)


def _reference(
    bundle: Bundle,
    graph: onnx.ModelProto,
    layers: Sequence[Layer],
    given: Sequence[str],
    watcher: Watcher,
) -> Moments:
    """Return the moments of training images: of the given ones, or those in the file."""
    if given:
        with watcher.progress("reading the reference") as progress:
            images = read_site(bundle, iterate_images(list(given)), progress=progress)
        check_site(images)
        classes = _class_probabilities(bundle, images)
        return by_class(graph, layers, batches_of(images.pixels, classes), threads=cores())
    adapted = any("share" in change for change in bundle.info.history)
    try:
        known = unpacked(
            bundle.info.reference,
            classes=len(bundle.info.classes) + bool(bundle.info.findings),
            channels=sum(layer.channels for layer in layers),
        )
    except ValueError as fault:
        raise ModelFileError(f"{bundle.path}: cannot be adapted: {fault}.") from fault
    if known is None or adapted:
        why = (
            "was adapted before; adapt the original model, or give"
            if adapted
            else "has no statistics of its training images, since an older version wrote it; give"
        )
        raise DataError(
            f"{bundle.path}: {why} a folder with a few hundred of its training images "
            "as `reference`."
        )
    return known


def _distance(
    graph: onnx.ModelProto, layers: Sequence[Layer], site: SiteImages, reference: Moments
) -> Distance:
    """Return the distance of the site from training in the unchanged graph."""
    halves = []
    for start in (0, 1):
        pixels = site.pixels[start::2]
        one = np.ones((len(pixels), 1))
        halves.append(by_class(graph, layers, batches_of(pixels, one), threads=cores()))
    return distance(halves, reference)


def _class_probabilities(bundle: Bundle, images: SiteImages) -> NDArray[np.float64]:
    """Return the reader's probability of each class for images, [n, classes].

    For several findings, those of the groups of ``finding_groups``, [n, 1 + findings].
    """
    found = [bundle.run(pixels, ["probabilities"])[0] for pixels in images.batches()]
    probabilities = np.concatenate(found)
    if bundle.info.findings:
        return finding_groups(probabilities)
    return probabilities.astype(np.float64)


def _written(
    bundle: Bundle,
    changed: onnx.ModelProto,
    out: Path,
    *,
    site: SiteImages,
    distance: Distance,
    share: float,
) -> Adapted:
    """Write the new model, after it was opened and run on the images."""
    import onnx  # noqa: PLC0415 - loaded already

    change = {
        "what": "statistics of the graph moved towards those of a site's images, without labels",
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_model": bundle.sha256,
        "pixels_sha256": site.sha256,
    }
    old, codes = _scored(bundle, site)
    with written_whole(out) as temporary:
        _save(changed, bundle, temporary, change)
        new, codes_now = _scored(open_bundle(temporary, threads=cores()), site)
        found = Adapted(
            out,
            site.counts(),
            distance,
            share,
            old,
            new,
            float((codes != codes_now).any(axis=1).mean()),
        )
        # Written again, with its current scores in the history.
        _save(changed, bundle, temporary, {**change, **found.change()})
        onnx.checker.check_model(str(temporary))
    return found


def _save(changed: onnx.ModelProto, bundle: Bundle, path: Path, change: dict[str, Any]) -> None:
    import onnx  # noqa: PLC0415 - loaded already

    info = replace(bundle.info, history=(*bundle.info.history, change), self_test=None)
    onnx.helper.set_model_props(changed, {KEY: info.to_json()})
    path.write_bytes(changed.SerializeToString())
    finish(path)


def _scored(bundle: Bundle, site: SiteImages) -> tuple[Scored, NDArray[np.bool_]]:
    """Return the scores of a model, and whether each image is at or above its thresholds.

    The latter is bool [n, 1], or [n, findings].

    Raises:
        ModelFileError: The scores are not numbers.
    """
    info = bundle.info
    logit, called = [], []
    for pixels in site.batches():
        logits, probabilities = bundle.run(pixels, ["logits", "probabilities"])
        line, share = bundle.positive(logits, probabilities)
        logit.append(line)
        if info.findings:
            thresholds = [rule.operating_point.threshold for rule in info.findings]
            called.append(probabilities >= np.array(thresholds, np.float32))
        else:
            called.append(share[:, None] >= info.operating_point.threshold)
    mean = float(np.concatenate(logit).astype(np.float64).mean())
    if not math.isfinite(mean):
        raise ModelFileError(
            f"{bundle.path}: not written, since the mean logit of the adapted graph is not finite."
        )
    codes: NDArray[np.bool_] = np.concatenate(called)
    return Scored(float(codes.any(axis=1).mean()), mean), codes


def _warn(found: Adapted, watcher: Watcher) -> None:
    if found.images["given"] >= MOST:
        watcher.say(f"At most {MOST:,} images are used, evenly spaced.")
    moved = found.after.mean_logit - found.before.mean_logit
    if abs(moved) > _LARGE_MOVE:
        watcher.warn(
            f"the mean logit changed by {moved:+.1f}: the images differ strongly from the training "
            "images, or the prevalence differs. Only labels can distinguish the two: evaluate "
            "the new model on labelled images before using it."
        )
