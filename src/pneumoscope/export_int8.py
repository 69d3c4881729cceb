"""Quantise a float32 model file to 8-bit integers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from pneumoscope.runs import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter(
            [{"pixels": image[np.newaxis, np.newaxis]} for image in pixels]
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, None after the last."""
        return next(self._feeds, None)


def quantize(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Replace a model file by one whose convolutions and matrix products use int8.

    Weights have a scale for each channel; the ranges of activations are measured on the images.

    Args:
        path: The model file; its metadata are not preserved.
        pixels: Prepared images, uint8 [n, height, width].
    """
    logger = logging.getLogger()  # onnxruntime recommends a step that was already done
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with written_whole(path) as temporary:
            quantize_static(
                path,
                temporary,
                _Images(pixels),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Gemm", "MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
    finally:
        logger.setLevel(level)
