"""The reader in both other servers: Pillow and ONNX Runtime, or the reader of this package.

It is selected by environment variables: ``READER`` is ``usual`` or ``ours``, ``MODEL`` the model
file, ``WORKERS`` the number of processes, ``PORT`` the port.
"""

from __future__ import annotations

import io
import os
from typing import Any

WORKERS = int(os.environ["WORKERS"])
PORT = int(os.environ["PORT"])


class Usual:
    """The model of the file on images that Pillow decodes and resizes; one thread each."""

    def __init__(self) -> None:
        import onnxruntime  # noqa: PLC0415 - in the process that reads

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one process per core, as both servers recommend
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        _, _, self._height, self._width = self._session.get_inputs()[0].shape

    def read(self, content: bytes) -> dict[str, Any]:
        """Return the probabilities of an image."""
        import numpy as np  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        image = Image.open(io.BytesIO(content)).convert("L").resize((self._width, self._height))
        pixels = np.asarray(image, np.uint8)[None, None]
        (found,) = self._session.run(["probabilities"], {"pixels": pixels})
        return {"probabilities": found[0].tolist()}


class Ours:
    """The reader of this package: the same decoder, gate and record as in its own service."""

    def __init__(self) -> None:
        from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415

        self._reader = Predictor(os.environ["MODEL"])

    def read(self, content: bytes) -> dict[str, Any]:
        """Return the record of an image."""
        from pneumoscope.reader.records import record_of  # noqa: PLC0415

        return record_of(self._reader.predict(content))


def reader() -> Usual | Ours:
    """Return the reader selected by the environment."""
    return Ours() if os.environ["READER"] == "ours" else Usual()
