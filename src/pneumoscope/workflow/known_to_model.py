"""Information about images in a model file: the gate, the scale of the evidence, the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from pneumoscope.adaptation.layers import layers_of
from pneumoscope.adaptation.measure import by_class
from pneumoscope.adaptation.reference import KEY as CHANNELS
from pneumoscope.adaptation.reference import finding_groups, packed
from pneumoscope.adaptation.site import batches_of
from pneumoscope.errors import ModelFileError
from pneumoscope.parallel import cores
from pneumoscope.reader.checks.feature_distance import FeatureDistribution
from pneumoscope.reader.checks.gate import FeatureGate, Look, PixelGate
from pneumoscope.reader.drift import distance_histogram
from pneumoscope.reader.groups import map_of
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.overlay import EVIDENCE_FULL, Scale
from pneumoscope.stats.tolerance import tolerance_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.reader.model_file.bundle import Bundle
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.training.fitted import Traced

FALSE_REFUSALS = 0.01
"""Maximum share of new images like the validation images that the feature gate may refuse."""

_EVIDENCE_IMAGES = 200
_LOOK_IMAGES = (200, 5000)  # minimum and maximum; more images only need memory
_KNOWN_IMAGES = 2000  # maximum number of images for features; more only take time
_RANK = 32


def known_of_images(
    info: ModelInfo,
    bundle: Bundle,
    data: PreparedData,
    *,
    gated: bool,
    traced: Traced | None,
    channels: Sequence[int],
) -> ModelInfo:
    """Return the metadata with the information about images.

    Args:
        info: The metadata so far.
        bundle: The graph.
        data: The images.
        gated: Whether to fit a gate.
        traced: The exported graph of a probe, if there is one.
        channels: Rows on which the statistics of channels are measured; if empty, none are.
    """
    reference = dict(info.reference)
    if gated:
        gate, distances = _gate(bundle, data, traced)
        reference["distance_histogram"] = distance_histogram(distances)
        info = replace(info, gate=gate)
    if "evidence" in bundle.outputs:
        reference[EVIDENCE_FULL] = _evidence_full(bundle, data)
    if channels:
        reference |= _channel_statistics(bundle, data, channels)
    return replace(info, reference=reference)


def _channel_statistics(bundle: Bundle, data: PreparedData, rows: Sequence[int]) -> dict[str, Any]:
    """Return the entry of ``ModelInfo.reference`` with statistics of training images for ``adapt``.

    It is empty for graphs without convolutions. Of several findings, those without a label have the
    probability of the network.

    Args:
        bundle: The exported graph.
        data: The images.
        rows: The training rows.
    """
    model = onnx.load_from_string(read_model(bundle.path))
    try:
        layers = layers_of(model, bundle.path)
    except ModelFileError:
        return {}
    chosen = evenly(rows, _KNOWN_IMAGES // 2)
    if bundle.info.findings:
        labels = data.catalog.finding_labels[chosen]
        probabilities = outputs_of(bundle, data, chosen, "probabilities")
        classes = finding_groups(np.where(labels >= 0, labels, probabilities))
    else:
        classes = np.eye(len(bundle.info.classes))[data.catalog.class_numbers[chosen]]
    known = by_class(
        model,
        layers,
        batches_of(data.pixels(chosen), classes),
        threads=cores(),
    )
    return {CHANNELS: packed(known)} if (known.weight > 0).all() else {}


def _gate(
    bundle: Bundle, data: PreparedData, traced: Traced | None
) -> tuple[dict[str, Any], list[float]]:
    """Return both gates as stored in the model file, and the distances of validation images."""
    fewest, most = _LOOK_IMAGES
    training = data.split.rows("train")
    by_patient = sorted(evenly(training, most), key=lambda row: data.catalog.entries[row].patient)
    look = Look.fit(data.pixels(by_patient)) if len(by_patient) >= fewest else None
    if traced is not None:
        known = traced.features[evenly(range(len(training)), _KNOWN_IMAGES)]
    else:
        known = outputs_of(bundle, data, evenly(training, _KNOWN_IMAGES), "features")
    distribution = FeatureDistribution.fit(known, rank=_RANK)
    seen = outputs_of(bundle, data, data.split.rows("val"), "features")
    distances = distribution.distance(seen)
    limit = tolerance_limit(distances, share=1 - FALSE_REFUSALS)
    features = FeatureGate(distribution, limit)
    gate = {**PixelGate(look=look).to_dict(), "features": features.to_dict()}
    return gate, distances.tolist()


def _evidence_full(bundle: Bundle, data: PreparedData) -> float:
    """Return the evidence drawn in full colour: the maximum of a typical validation image.

    It is the value out of 4, 8, 16 and so on that is closest to the median over images of their
    maximum, so that one scale is suitable for all images of the reader.
    """
    rows = evenly(data.split.rows("val"), _EVIDENCE_IMAGES)
    maps, labels = outputs_of(bundle, data, rows, "evidence"), data.catalog.label_space
    shown = map_of(maps, labels, None) if len(labels) > 2 else maps
    typical = float(np.median(np.abs(shown).reshape(len(rows), -1).max(1)))
    least = Scale().full
    return least * 2.0 ** max(0, round(math.log2(max(typical, least) / least)))


def evenly(rows: Sequence[int], count: int) -> list[int]:
    """Return at most a number of evenly spaced rows."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [rows[place] for place in chosen]


def outputs_of(
    bundle: Bundle, data: PreparedData, rows: Sequence[int], name: str
) -> NDArray[np.float32]:
    """Return an output of the graph for catalog rows, in small batches."""
    return np.concatenate([bundle.run(pixels, [name])[0] for pixels in data.batches(rows)])
