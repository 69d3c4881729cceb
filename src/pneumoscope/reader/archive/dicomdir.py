"""Read the image files listed in the directory of a DICOM disc."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError
from pneumoscope.images.quiet import quietly

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_BYTES = 256 * 2**20
"""Maximum size of a DICOMDIR."""

_IN_USE = 0xFFFF


def images_of(path: str, *, others: Counter[str]) -> Iterator[str]:
    """Yield the files of the image records of a DICOMDIR, in order, existing or not.

    Args:
        path: The DICOMDIR; its files are below its folder.
        others: Counters of records that are not images, or refer to files elsewhere.

    Raises:
        DataError: The DICOMDIR cannot be read.
    """
    folder = os.path.dirname(path)  # noqa: PTH120 - strings are kept as they were given
    for record in _records(path):
        parts = _parts(record.get("ReferencedFileID"))
        if not parts or record.get("RecordInUseFlag", _IN_USE) == 0:
            continue
        kind = str(record.get("DirectoryRecordType", "")).upper()
        if kind != "IMAGE":
            others[f"{kind[:16] or 'unnamed'} record of DICOMDIR"] += 1
        elif any(part in {"", ".", ".."} or "/" in part or "\\" in part for part in parts):
            others["record of DICOMDIR pointing outside its folder"] += 1
        else:
            yield _existing(folder, parts)


def _records(path: str) -> list[Dataset]:
    from pydicom import dcmread  # noqa: PLC0415 - pydicom is only loaded for DICOM

    try:
        with quietly():
            if os.path.getsize(path) <= MAX_BYTES:  # noqa: PTH202 - strings are kept as they are
                found = dcmread(path, specific_tags=["DirectoryRecordSequence"])
                return list(found.get("DirectoryRecordSequence") or [])
    except Exception as fault:  # pydicom has no base class for errors caused by damaged bytes
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise DataError(
            f"{path}: not a readable DICOMDIR ({reason}); give the folder of the images."
        ) from fault
    raise DataError(
        f"{path}: too large for a DICOMDIR (more than {MAX_BYTES:,} bytes); give a folder."
    )


def _parts(value: object) -> list[str]:
    if value is None:
        return []
    given = [value] if isinstance(value, str) else list(value) if hasattr(value, "__iter__") else []
    return [str(part) for part in given]


def _existing(folder: str, parts: list[str]) -> str:
    """Return the path as written, or in lower case if only that exists."""
    written = os.path.join(folder, *parts)  # noqa: PTH118 - strings are kept as they were given
    small = os.path.join(folder, *(part.lower() for part in parts))  # noqa: PTH118 - the same
    if not os.path.lexists(written) and os.path.lexists(small):
        return small
    return written
