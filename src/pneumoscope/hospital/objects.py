"""Make DICOM objects from an image and a prediction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import ImageError
from pneumoscope.hospital.identity import DERIVATION, MANUFACTURER, NOTICE, Device
from pneumoscope.hospital.picture import picture
from pneumoscope.hospital.report import report
from pneumoscope.reader.evidence import (
    evidence_image,
    evidence_of_image,
    other_findings,
    titled,
)
from pneumoscope.reader.overlay import Scale

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Made:
    """A created object.

    Attributes:
        kind: ``report``, ``picture`` or ``presentation``.
        data: The object, with file meta information.
    """

    kind: str
    data: Dataset

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return str(self.data.SOPInstanceUID)


def device_of(predictor: Predictor) -> Device:
    """Return the device identity of a reader."""
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms

    info = predictor.info
    settings = f"gate={'yes' if predictor.gated else 'no'}"
    return Device(info.name, info.version, predictor.sha256, version("pneumoscope"), settings)


def objects_of(
    header: Dataset,
    content: bytes | Path,
    found: Prediction,
    predictor: Predictor,
    *,
    made: datetime,
    pictures: bool = True,
    outline: bool = False,
    institution: str = "",
) -> list[Made]:
    """Return the report of an image and, if there is evidence, the picture.

    Args:
        header: Header of the image.
        content: The image.
        found: The prediction.
        predictor: The reader.
        made: Time of reading.
        pictures: Whether to create a picture.
        outline: Whether to create a presentation state with the outline of the evidence.
        institution: Name of the institution in the report.
    """
    device = device_of(predictor)
    drawn = outlined = None
    if found.assessed and predictor.draws_evidence:
        try:
            if pictures:
                drawn = evidence_image(predictor, found, content, notice=NOTICE)
            if outline:
                outlined = _outline(header, content, found, predictor, made=made)
        except ImageError as fault:  # the file has changed since; the result remains valid
            reasons = (*found.reasons, f"the evidence cannot be drawn: {fault}")
            found = dataclasses.replace(found, reasons=reasons)
    info = predictor.info
    document = report(header, found, device, info=info, made=made, institution=institution)
    result = [Made("report", document)]
    if drawn is not None:
        result.append(Made("picture", picture(header, np.asarray(drawn), device, made=made)))
    if outlined is not None:
        result.append(Made("presentation", outlined))
    return result


def _outline(
    header: Dataset,
    content: bytes | Path,
    found: Prediction,
    predictor: Predictor,
    *,
    made: datetime,
) -> Dataset | None:
    from pneumoscope.hospital.presentation import presentation  # noqa: PLC0415 - only if requested

    of, title = titled(predictor.info, found, None)
    shape = (int(header.Rows), int(header.Columns))
    evidence = evidence_of_image(predictor, content, shape, of)
    counted, others = other_findings(found.findings, of)
    lines = [title, counted, ", ".join(others), NOTICE]
    # The character set of the image need not have the separator of the picture.
    caption = "\n".join(line for line in lines if line).replace(" · ", ", ")
    least = Scale.of_reader(predictor.info).least
    return presentation(
        header, evidence, device_of(predictor), least=least, caption=caption, made=made
    )


def is_own(header: Dataset) -> str:
    """Return why an object must not be read because it was created by software; empty otherwise.

    Otherwise objects would circulate between nodes that forward to each other. The text is empty
    for an image to be read.
    """
    equipment = header.get("ContributingEquipmentSequence") or []
    makers = [header.get("Manufacturer"), *(item.get("Manufacturer") for item in equipment)]
    if any(str(maker) == MANUFACTURER for maker in makers):
        return "it was created by this software"
    kind = header.get("ImageType") or []
    if [str(value) for value in kind][: len(DERIVATION)] == [*DERIVATION]:
        return "its Image Type is DERIVED\\SECONDARY"
    return ""
