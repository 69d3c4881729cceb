"""An image and what a reader says of it → the DICOM objects that are given back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.hospital.identity import MANUFACTURER, NOTICE, Device
from pneumoscope.hospital.picture import picture
from pneumoscope.hospital.report import report
from pneumoscope.reader.evidence import evidence_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Made:
    """An object that was made.

    Attributes:
        kind: ``report`` or ``picture``.
        data: The object, with file meta information.
    """

    kind: str
    data: Dataset

    @property
    def uid(self) -> str:
        """Its SOP Instance UID."""
        return str(self.data.SOPInstanceUID)


def device_of(predictor: Predictor) -> Device:
    """Return the device that a reader is."""
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
) -> list[Made]:
    """Return the report of an image and, where there is evidence, the picture.

    Args:
        header: Of the image.
        content: The image.
        found: What the reader says of it.
        predictor: The reader.
        made: When it was read.
        pictures: Whether a picture is wanted.

    Raises:
        ImageError: The image cannot be read any more.
    """
    device = device_of(predictor)
    result = [
        Made("report", report(header, found, device, classes=predictor.info.classes, made=made))
    ]
    if pictures and found.probability is not None and predictor.draws_evidence:
        drawn = evidence_image(predictor, found, content, notice=NOTICE)
        result.append(Made("picture", picture(header, np.asarray(drawn), device, made=made)))
    return result


def is_own(header: Dataset) -> bool:
    """Return whether an object was made by this software, and must not be read again."""
    equipment = header.get("ContributingEquipmentSequence") or []
    return str(header.get("Manufacturer", "")) == MANUFACTURER or any(
        str(item.get("Manufacturer", "")) == MANUFACTURER for item in equipment
    )
