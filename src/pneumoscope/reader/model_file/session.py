"""Find and check a model file, and open its graph with ONNX Runtime.

ONNX Runtime builds a graph without holding Python's lock, so this is done in a separate thread,
while the rest of the program is loaded.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file.checksum import own_text, state_of
from pneumoscope.reader.model_file.inspection import MAX_BYTES, Contents, inspect

if TYPE_CHECKING:
    import onnxruntime

SHIPPED = "shipped"
"""The name of the included reader."""

SHIPPED_FILE = Path(__file__).parents[2] / "assets" / "reader.onnx"

_RUN_MODEL = "model.onnx"
_LARGE = 2_000_000  # number of values in the tensors of a graph


class Graph:
    """The graph of a model file, opened in the background.

    The file is inspected before ONNX Runtime opens it; see ``inspection``.

    Args:
        place: A model file or a run folder; ``shipped`` or None for the package's own.
        threads: CPU threads for one call of the graph.
        few: Whether few images will be read: large graphs then start faster and run more slowly.
        allow_changed: Whether to accept a file that was changed after it was written.

    Attributes:
        path: The file.
        contents: The inspected contents.
        text: The metadata as text.

    Raises:
        ModelFileError: There is no model, or the file is not a model file of this package or is
            refused.
    """

    def __init__(
        self,
        place: Path | str | None,
        *,
        threads: int = 1,
        few: bool = False,
        allow_changed: bool = False,
    ) -> None:
        self.path = find_model(place)
        content = read_model(self.path)
        self.contents: Contents = inspect(content, self.path)
        self.text = own_text(content, self.contents, self.path)
        self._content: bytes | None = content
        self._sha256 = ""

        self._allow_changed = allow_changed
        self._checksum = ""
        self._checksum_fault: Exception | None = None
        # In parallel to the imports, which use one core.
        self._verifying = threading.Thread(target=self._verify_checksum, args=(content,))
        self._verifying.start()

        # Imported first, since a Ctrl-C during its import by ONNX Runtime would appear as an error
        # of ONNX Runtime.
        import numpy  # noqa: F401, PLC0415
        import onnxruntime  # noqa: PLC0415 - only if there is something to run

        # For a process that loaded ONNX Runtime before this package, and for Windows; otherwise the
        # environment variable set by the package already silences it.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Planning makes memory use predictable, but doubles the time of the first runs.
        options.enable_mem_pattern = not few
        if few and self.contents.values > _LARGE:
            # Without rearranging weights for this CPU, which takes as long as an image.
            levels = onnxruntime.GraphOptimizationLevel
            options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED
        self._session: onnxruntime.InferenceSession | None = None
        self._fault: Exception | None = None
        self._opened = threading.Event()
        # Not a daemon: a process that ends meanwhile is aborted by ONNX Runtime's threads.
        self._opening = threading.Thread(target=self._open, args=(content, options))
        self._opening.start()

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The opened graph; waits until it is open.

        Raises:
            ModelFileError: ONNX Runtime cannot open it.
        """
        self._opened.wait()
        if self._session is None:
            raise ModelFileError(
                f"{self.path}: not a readable model file ({first_line(self._fault)}); expected "
                "a model.onnx written by pneumoscope train."
            ) from self._fault
        return self._session

    def check_checksum(self) -> None:
        """Wait until the checksum of the file is verified.

        Raises:
            ModelFileError: The file was changed since it was written.
        """
        if self._allow_changed:
            return
        self._verifying.join()
        if self._checksum not in {"intact", "none"}:
            raise ModelFileError(
                f"{self.path}: this file was changed or damaged after it was written (its "
                "checksum does not match), so it is not used; download or copy it again."
            ) from self._checksum_fault

    @property
    def sha256(self) -> str:
        """The hash of the opened file, computed on first use."""
        content = self._content
        if content is not None:
            import hashlib  # noqa: PLC0415 - not needed to read an image

            self._sha256 = hashlib.sha256(content).hexdigest()
            self._content = None
        return self._sha256

    def _open(self, content: bytes, options: onnxruntime.SessionOptions) -> None:
        import onnxruntime  # noqa: PLC0415 - loaded already

        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as fault:  # onnxruntime's exceptions have no public base class
            self._fault = fault
        finally:
            self._opened.set()

    def _verify_checksum(self, content: bytes) -> None:
        try:
            self._checksum = state_of(content, self.contents, self.path)
        except Exception as fault:  # reported by check_checksum
            self._checksum_fault = fault


def find_model(place: Path | str | None) -> Path:
    """Return the path of a model: a file, that of a run folder, or the included one.

    Args:
        place: A model file or a run folder; ``shipped`` or None for the included reader.

    Raises:
        ModelFileError: There is no model.
    """
    if place is None or str(place) == SHIPPED:
        if not SHIPPED_FILE.is_file():
            raise ModelFileError(
                f"{SHIPPED}: this installation has no included reader ({SHIPPED_FILE} is "
                "missing); give a run folder or a model file with `model`."
            )
        return SHIPPED_FILE
    place = Path(place)
    if place.is_dir():
        inside = place / _RUN_MODEL
        if not inside.is_file():
            raise ModelFileError(
                f"{place}: no {_RUN_MODEL} in this folder; is the run finished? Train a model "
                "with: `train(DATA, out=RUN)`"
            )
        return inside
    if not place.exists():
        raise ModelFileError(f"{place}: no such model file or run folder.")
    return place


def read_model(path: Path) -> bytes:
    """Return the bytes of a model file.

    Raises:
        ModelFileError: The file cannot be read, is not a regular file, or is too large.
    """
    try:
        if not path.is_file():
            raise ModelFileError(f"{path}: not a regular file.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelFileError(
                f"{path}: too large for a model file ({size:,} bytes, limit {MAX_BYTES:,})."
            )
        return path.read_bytes()
    except OSError as fault:
        raise ModelFileError(f"{path}: cannot be read ({fault.strerror}).") from fault


def first_line(fault: Exception | None) -> str:
    """Return the first line of an error, for messages."""
    lines = str(fault).strip().splitlines()
    return lines[0][:200] if lines else type(fault).__name__
