"""Files that ``predict`` writes in addition to records: evidence and DICOM objects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor


def with_written_files(
    args: Namespace, predictor: Predictor, found: Prediction, content: bytes
) -> Prediction:
    """Write the requested files of a prediction; return it with their paths.

    Args:
        args: The arguments of ``predict``.
        predictor: The reader.
        found: The prediction.
        content: The image, if it came from standard input; otherwise empty.
    """
    return _with_objects(args, predictor, _with_evidence(args, predictor, found, content), content)


def _with_evidence(
    args: Namespace, predictor: Predictor, found: Prediction, content: bytes
) -> Prediction:
    from pneumoscope.reader.prediction import NOT_ASSESSABLE  # noqa: PLC0415 - loaded already

    if not args.evidence or not (found.assessed or found.conclusion == NOT_ASSESSABLE):
        return found
    from pneumoscope.errors import ImageError  # noqa: PLC0415 - rare
    from pneumoscope.reader.evidence_sheet import draw_evidence  # noqa: PLC0415 - the same

    try:
        return draw_evidence(
            predictor, found, args.evidence, content=content or None, of=args.evidence_of
        )
    except ImageError as fault:  # it was deleted since; the result remains valid
        reasons = (*found.reasons, f"the evidence cannot be drawn: {fault}")
        return dataclasses.replace(found, reasons=reasons)


def _with_objects(
    args: Namespace, predictor: Predictor, found: Prediction, content: bytes
) -> Prediction:
    if not args.dicom_out:
        return found
    from pneumoscope.hospital.files import write_objects  # noqa: PLC0415 - an extra

    missing = write_objects(found, predictor, args.dicom_out, content=content or None)
    return dataclasses.replace(found, reasons=(*found.reasons, missing)) if missing else found
