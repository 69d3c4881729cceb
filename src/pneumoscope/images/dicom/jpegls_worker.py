"""The worker process of ``jpegls``: codestreams on standard input, values on standard output.

A request is the length of a codestream and the codestream. An answer is the number of bytes per
value, the rows, the columns and the samples (0 for a single sample without an axis), then the
values; or all zeros if the codestream cannot be decoded, after which the worker ends. It also ends
at the end of its input, which the system closes when the parent process ends for any reason.

It runs as a script, not as a module of the package, and does not import the package, which halves
its start-up time.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import BinaryIO

SECONDS = 30
"""Time limit for an image, far above the time for an image of the largest detector."""

LENGTH = struct.Struct("<Q")
ANSWER = struct.Struct("<4Q")

_MEMORY_BYTES = 4 * 2**30
"""Address space of a worker. An image takes 160 MB when decoded, the libraries less than 1 GiB."""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the input ends or an image cannot be decoded."""
    from imagecodecs import jpegls_decode  # noqa: PLC0415 - the extra dicom

    while head := requests.read(LENGTH.size):
        if len(head) < LENGTH.size:
            return
        (length,) = LENGTH.unpack(head)
        frame = requests.read(length)
        if len(frame) < length:
            return
        _limit()
        try:
            pixels = jpegls_decode(frame)
        except (RuntimeError, ValueError, MemoryError):  # imagecodecs raises RuntimeError
            answers.write(ANSWER.pack(0, 0, 0, 0))
            answers.flush()
            return
        rows, columns, samples = (*pixels.shape, 0)[:3]
        answers.write(ANSWER.pack(pixels.itemsize, rows, columns, samples))
        answers.write(pixels.tobytes())
        answers.flush()


def _limit() -> None:
    """Limit memory and time of the next image, also without the parent."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - only on Unix

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = int(time.process_time()) + SECONDS + 1  # since the start of the process
    if most == resource.RLIM_INFINITY or until < most:
        resource.setrlimit(resource.RLIMIT_CPU, (until, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux" and (most == resource.RLIM_INFINITY or most > _MEMORY_BYTES):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, most))


def _main() -> None:
    # Output of libraries must not be mixed with the answers.
    own = os.dup(sys.stdout.fileno())
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, sys.stdout.fileno())
    os.close(silent)
    with open(own, "wb") as answers:  # noqa: PTH123 - a descriptor
        try:
            serve(sys.stdin.buffer, answers)
        except BrokenPipeError:  # the parent process ended
            os._exit(0)


if __name__ == "__main__":
    _main()
