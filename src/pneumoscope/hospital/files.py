"""Write the objects of an image to files, without a network."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import ImageError, OutputError
from pneumoscope.hospital.durable import write_durably
from pneumoscope.hospital.objects import device_of, is_own, objects_of
from pneumoscope.hospital.reading import encoded
from pneumoscope.hospital.source import read_header

if TYPE_CHECKING:
    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor


def write_objects(
    found: Prediction, predictor: Predictor, folder: Path, *, content: bytes | None = None
) -> str:
    """Write the report and the picture of an image into a folder, named by their UIDs.

    Existing objects are not changed: they belong to the same image and model, and only differ in
    the time.

    Args:
        found: The prediction.
        predictor: The reader.
        folder: Folder of the objects.
        content: The image, if it has no path.

    Returns:
        The reason why there are no objects; empty if there are.

    Raises:
        OutputError: The objects cannot be written.
    """
    source = Path(found.path) if content is None else content
    try:
        header = read_header(source)
    except ImageError as fault:
        return f"no DICOM objects: {fault}"
    if own := is_own(header):
        return f"no DICOM objects: {own}"
    uid = device_of(predictor).instance_uid(str(header.SOPInstanceUID), "report")
    if (folder / f"{uid}.dcm").exists():
        return ""
    # Objects are sent to other machines, where the path of a file is meaningless.
    found = dataclasses.replace(found, error=found.error.removeprefix(f"{found.path}: "))
    made = datetime.now().astimezone()
    objects = objects_of(header, source, found, predictor, made=made)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in reversed(objects):  # the report last: if it exists, all objects do
            write_durably(folder / f"{one.uid}.dcm", encoded(one).content)
    except OSError as fault:
        raise OutputError(f"{folder}: cannot be written ({fault.strerror or fault}).") from fault
    return ""
