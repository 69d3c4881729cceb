"""Reduced images on disk, so that the audit reads each file only once."""

from __future__ import annotations

import mmap
import tempfile
from typing import TYPE_CHECKING, Self

import numpy as np

from pneumoscope.errors import OutputError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

SIDE_PX = 112
"""Rows and columns of a reduced image: half of the audit's input."""

_ROW_BYTES = SIDE_PX * SIDE_PX


class PixelStore:
    """Images of uint8 [112, 112] in an unnamed temporary file, removed with the process.

    All rows are appended before any is read. The memory of the process does not grow with their
    number.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="pneumoscope-")  # noqa: SIM115 - closed in __exit__
        self._map: mmap.mmap | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._map is not None:
            self._map.close()
        self._file.close()

    def append(self, image: NDArray[np.uint8]) -> None:
        """Append a row.

        Raises:
            OutputError: The disk for temporary files is full.
        """
        assert image.shape == (SIDE_PX, SIDE_PX)  # noqa: S101 - our own caller
        try:
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as fault:
            raise OutputError(
                f"{tempfile.gettempdir()}: cannot be written ({fault.strerror or fault}); "
                "set TMPDIR to a folder with space."
            ) from fault
        self._rows += 1

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of some rows, uint8 [len(rows), 112, 112]."""
        if not len(rows):
            return np.empty((0, SIDE_PX, SIDE_PX), np.uint8)
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        found = np.empty((len(rows), SIDE_PX, SIDE_PX), np.uint8)
        for place, row in enumerate(rows.tolist()):
            start = row * _ROW_BYTES
            flat = np.frombuffer(self._map[start : start + _ROW_BYTES], np.uint8)
            found[place] = flat.reshape(SIDE_PX, SIDE_PX)
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return found
