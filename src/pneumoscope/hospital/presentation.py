"""The outline of the evidence as a Grayscale Softcopy Presentation State."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from highdicom import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, TM

from pneumoscope.hospital.identity import MANUFACTURER, Device, equipment
from pneumoscope.hospital.outline import outlines
from pneumoscope.hospital.source import UTF8, evidence_of, take_over
from pneumoscope.reader.overlay import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

SERIES_NUMBER: Final = 9703
OF_PEAK: Final = 0.5
"""The outline's level, as a share of the largest evidence in the image."""

_GRID = 256  # cells along the longer side
_MOST = 20  # maximum number of outlines; smaller ones are omitted

_GREY = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsStored"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "VOILUTSequence",
)


def presentation(
    header: Dataset,
    evidence: NDArray[np.float32],
    device: Device,
    *,
    least: float,
    caption: str,
    made: datetime,
) -> Dataset | None:
    """Return the outline of the evidence; None if there is none.

    The outline encloses the pixels with at least half of the maximum evidence, the usual way of
    converting such a map to regions; weaker evidence covers most of an image.

    Args:
        header: Header of the image.
        evidence: Evidence over the whole image, float32 [h, w], in units of the logit.
        device: The device that read the image.
        least: Minimum evidence that the picture colours; weaker evidence is not outlined.
        caption: Text next to the outline, including the notice.
        made: Time of reading.
    """
    source = evidence_of(header)
    for name in _GREY:
        if name in header:
            source[name] = header[name]
    layer = GraphicLayer("EVIDENCE", order=1, description="Evidence of an automatic reading")
    drawn = [
        GraphicObject("POLYLINE", points, units="PIXEL", is_filled=False)
        for points in polygons(evidence, source, least=least)
    ]
    if not drawn:
        return None
    text = TextObject(caption, units="PIXEL", anchor_point=(1.0, 1.0), anchor_point_visible=False)
    annotation = GraphicAnnotation([source], layer, graphic_objects=drawn, text_objects=[text])
    inverted = str(source.PhotometricInterpretation) == "MONOCHROME1"
    document = GrayscaleSoftcopyPresentationState(
        [source],
        series_instance_uid=device.series_uid(str(header.StudyInstanceUID), "presentation"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=device.instance_uid(str(header.SOPInstanceUID), "presentation"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=device.model_name,
        software_versions=device.versions[0],
        device_serial_number=device.model_sha256[:64],
        content_label="EVIDENCE",
        content_description="Outline of the evidence",
        content_creator_name=f"{MANUFACTURER}^",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        presentation_lut_transformation=PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if inverted else "IDENTITY"
        ),
        series_description="pneumoscope outline: research, not a medical device",
        specific_character_set=UTF8,
    )
    document["SoftwareVersions"] = DataElement(0x00181020, "LO", device.versions)
    document.Laterality = ""  # of type 2C, since the chest is not defined as unpaired
    date, clock = DA(made.date()), TM(made.time().replace(microsecond=0))
    document.SeriesDate = document.PresentationCreationDate = document.InstanceCreationDate = date
    document.SeriesTime = document.PresentationCreationTime = document.InstanceCreationTime = clock
    document["ContributingEquipmentSequence"] = DataElement(
        0x0018A001, "SQ", Sequence([equipment(device, made)])
    )
    take_over(header, document)
    return document


def polygons(
    evidence: NDArray[np.float32], source: Dataset, *, least: float = Scale().least
) -> list[NDArray[np.float32]]:
    """Return the outlines, at most 20, each [n, 2] as (x, y) in pixels of the image."""
    rows, columns = int(source.Rows), int(source.Columns)
    scale = _GRID / max(rows, columns)
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    fine = Image.fromarray(np.ascontiguousarray(evidence, np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    level = max(least, OF_PEAK * float(np.max(evidence, initial=0)))
    inside = np.asarray(fine) >= level
    factors = np.array([columns / width, rows / height], np.float32)
    return [one * factors for one in outlines(inside)[:_MOST]]
