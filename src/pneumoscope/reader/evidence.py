"""The evidence of a prediction: a signed map over the image, in units of the logit.

`pneumoscope.reader.overlay` colours it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import InputSpec, placing
from pneumoscope.reader.overlay import Scale, overlay
from pneumoscope.reader.prediction import UNCERTAIN, probability_text
from pneumoscope.reader.preprocess import load_image, native

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pneumoscope.labels import LabelSpace
    from pneumoscope.reader.findings import Finding
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor

_MOST_NAMED = 6  # other findings in a caption, which has a few lines


def evidence_caveat(info: ModelInfo) -> str:
    """Return the limits of the evidence stated in a model's card.

    Empty if the card does not state them.
    """
    card, caveats = info.card, []
    if "auc_lungs_blanked" in card and "auc_borders_alone" in card:
        caveats.append(
            "with the lungs blanked out, this reader still reaches an AUC of "
            f"{card['auc_lungs_blanked']:.2f}, and {card['auc_borders_alone']:.2f} from the "
            "image borders alone"
        )
    if "evidence_peak_in_opacity" in card and "evidence_peak_in_opacity_by_chance" in card:
        caveats.append(
            "on generated radiographs its strongest evidence lies in the opacity in "
            f"{card['evidence_peak_in_opacity']:.0%} (by chance: "
            f"{card['evidence_peak_in_opacity_by_chance']:.0%})"
        )
    return f"The evidence does not locate a finding: {'; '.join(caveats)}." if caveats else ""


def share_at_edges(evidence: NDArray[np.float32]) -> tuple[float, float]:
    """Return the share of all evidence in the outer eighth on each side, and its area.

    Evidence counts by its absolute value; the area is that of the edges as a share of the image.
    Without evidence, the share is 0.

    >>> share_at_edges(np.ones((8, 8), np.float32))
    (0.4375, 0.4375)
    """
    height, width = evidence.shape

    def weights(count: int) -> NDArray[np.float64]:
        """Return the share of each row or column that is within the middle six eighths."""
        edges = np.linspace(0, 1, count + 1)
        inside = np.clip(edges, 1 / 8, 7 / 8)
        found: NDArray[np.float64] = np.diff(inside) * count
        return found

    size = np.abs(evidence.astype(np.float64))
    total = float(size.sum())
    middle = float(weights(height) @ size @ weights(width))
    return (1 - middle / total if total > 0 else 0.0), 1 - (6 / 8) ** 2


def evidence_image(
    predictor: Predictor,
    found: Prediction,
    source: Path | bytes,
    *,
    notice: str = "",
    of: str | None = None,
) -> Image.Image:
    """Return the evidence of a prediction over its image, RGB, at the size of the image.

    Args:
        predictor: The reader of the prediction, with evidence maps.
        found: The prediction, with a probability.
        source: The image.
        notice: Additional text of the caption.
        of: As for ``titled``.

    Raises:
        OptionError: The class does not exist.
        ImageError: The image can no longer be read.
    """
    of, caption = titled(predictor.info, found, of)
    # The first words are omitted if there is no space.
    counted, others = other_findings(found.findings, of)
    if counted:
        caption = f"{counted} · {caption}"
    if others:
        caption = f"{' · '.join(reversed(others))}\n{caption}"
    if found.dicom and (shown := found.dicom.caption()):
        caption = f"{shown}\n{caption}"
    if notice:
        caption = f"{caption}\n{notice}"
    pixels = native(source)
    evidence = evidence_of_image(predictor, source, pixels.shape, of)
    return overlay(evidence, pixels, caption=caption, scale=Scale.of_reader(predictor.info))


def class_drawn(labels: LabelSpace, found: Prediction, of: str | None) -> str | None:
    """Return the class whose evidence is drawn; None for that of all positive classes.

    It is the requested class. If none was requested, it is the concluded class, if a model of more
    than two classes concluded a positive one.
    """
    if of is None and len(labels) > 2 and found.conclusion in labels.positive:
        return found.conclusion
    return of


def _rank(finding: Finding) -> tuple[int, float]:
    return {"POSITIVE": 2, UNCERTAIN: 1}.get(finding.conclusion, 0), finding.probability


def finding_drawn(findings: Sequence[Finding]) -> Finding:
    """Return the finding whose evidence is drawn if none is requested.

    It is the most probable one of those that are POSITIVE, or else UNCERTAIN, or else of all: each
    has its own threshold, so that a rare finding may be present at a lower probability than that of
    an absent one.
    """
    return max(findings, key=_rank)


def other_findings(findings: Sequence[Finding], drawn: str | None) -> tuple[str, list[str]]:
    """Return in words what a picture does not draw: a count of the conclusions, and findings.

    The findings are at most six, the present ones first, then the uncertain ones, each by
    probability. Both are empty for a reader of classes.

    Args:
        findings: All findings of the image.
        drawn: Name of the one that is drawn.
    """
    ranked = sorted(findings, key=_rank, reverse=True)
    counts = Counter(one.conclusion for one in ranked if _rank(one)[0])
    parts = [f"{count} {conclusion}" for conclusion, count in counts.items()]
    if parts:
        parts[0] = parts[0].replace(" ", f" of {len(ranked)} ")
    elif ranked:
        parts = [f"all {len(ranked)} {ranked[0].conclusion}"]
    named = [
        f"{one.name} {one.conclusion} {probability_text(one.probability)}"
        for one in ranked
        if _rank(one)[0] and one.name != drawn
    ]
    return ", ".join(parts), named[:_MOST_NAMED]


def evidence_of_image(
    predictor: Predictor, source: Path | bytes, shape: tuple[int, ...], of: str | None
) -> NDArray[np.float32]:
    """Return the evidence over the whole of an image, in units of the logit, [h, w].

    Args:
        predictor: A reader with evidence maps.
        source: The image.
        shape: (height, width) of the image in pixels.
        of: The class; None for all positive classes.

    Raises:
        OptionError: The class does not exist.
        ImageError: The image can no longer be read.
    """
    taken = load_image(source, predictor.info.input, any_kind=True)
    evidence = predictor.evidence(taken.pixels[np.newaxis], of)[0]
    return over_whole_image(evidence, predictor.info.input, shape)


def titled(info: ModelInfo, found: Prediction, of: str | None) -> tuple[str | None, str]:
    """Return the class or finding whose evidence is drawn, and the title of the picture.

    Args:
        info: The metadata of the model.
        found: The prediction.
        of: The requested class; see ``class_drawn``. For several findings, the name of one; None
            for that of ``finding_drawn``.

    Raises:
        OptionError: The finding does not exist.
    """
    if found.findings:
        each = {finding.name: finding for finding in found.findings}
        if of is not None and of not in each:
            raise OptionError("of", must=f"one of {', '.join(each)}", was=of)
        chosen = each[of] if of else finding_drawn(found.findings)
        probability = probability_text(chosen.probability)
        return chosen.name, f"{chosen.name} {chosen.conclusion} · p {probability}"
    assert found.probability is not None  # noqa: S101 - only judged images have evidence
    labels = info.labels
    of = class_drawn(labels, found, of)
    by_class = dict(zip(found.classes, found.probabilities or (), strict=True))
    probability = probability_text(by_class.get(of or "", found.probability))
    if of == labels.names[0] and len(labels) == 2:
        probability = probability_text(1 - found.probability)
    return of, f"{found.conclusion} · p({of or labels.pair[1]}) {probability}"


def over_whole_image(
    evidence: NDArray[np.float32], spec: InputSpec, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return a map of the model input as a map of the whole image.

    Args:
        evidence: Evidence over the input, [h, w].
        spec: The input.
        shape: (height, width) of the image in pixels.
    """
    if spec.resize == "stretch":
        return evidence
    from PIL import Image  # noqa: PLC0415 - only where a picture is drawn

    height, width = shape
    place = placing(spec, width, height)
    fine = np.asarray(
        Image.fromarray(np.ascontiguousarray(evidence, np.float32)).resize(
            (spec.width_px, spec.height_px), Image.Resampling.BILINEAR
        )
    )
    (x, y), (wide, tall) = place.at, place.size
    part = fine[y : y + tall, x : x + wide]
    if spec.resize == "pad":
        return part
    scale_x, scale_y = wide / place.width, tall / place.height
    whole = np.zeros((round(height * scale_y), round(width * scale_x)), np.float32)
    top, left = round(place.top * scale_y), round(place.left * scale_x)
    whole[top : top + tall, left : left + wide] = part[: len(whole) - top]
    return whole
