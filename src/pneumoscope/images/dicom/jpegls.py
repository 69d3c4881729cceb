"""JPEG-LS, decoded in a process of its own.

The JPEG-LS decoders that there are for Python end the process at some damaged files, or do not end
themselves. So a second Python decodes: it may die, and it has a time limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECONDS = 30  # far above what the largest detector's image takes
_HEAD = 64  # bytes: kind of numbers and shape


def decode(frame: bytes) -> NDArray[Any]:
    """Return the values of a JPEG-LS codestream, [rows, columns] or [rows, columns, samples].

    Raises:
        ValueError: It cannot be decoded, or not in time.
    """
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, this module
            [sys.executable, "-P", "-m", __name__],
            input=frame,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except subprocess.TimeoutExpired as fault:
        raise ValueError(f"JPEG-LS data that are not decoded in {_SECONDS} seconds") from fault
    if done.returncode:
        raise ValueError("JPEG-LS data that cannot be decoded")
    kind, *shape = done.stdout[:_HEAD].split()
    sizes = [int(size) for size in shape]
    return np.frombuffer(done.stdout, kind.decode(), offset=_HEAD).reshape(sizes)


def _serve() -> None:
    """Decode standard input to standard output."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - only on Unix

        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from imagecodecs import jpegls_decode  # noqa: PLC0415 - the extra dicom

    pixels = jpegls_decode(sys.stdin.buffer.read())
    head = " ".join([pixels.dtype.str, *map(str, pixels.shape)])
    sys.stdout.buffer.write(head.encode().ljust(_HEAD) + pixels.tobytes())


if __name__ == "__main__":
    _serve()
