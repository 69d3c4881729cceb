"""Read damaged images for some time: python tests/fuzz/fuzz_readers.py --seconds 60.

Valid files are modified: bytes are flipped, inserted or removed, pieces swapped or repeated, the
end cut off. Each result must be an image or an ImageError, with limited time and memory. A worker
process reads the files, so that crashes and hangs of decoders are detected. Failures are written to
a folder; add them as cases to tests/images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.hostile import samples
from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import probe

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
_SLOW_SECONDS = 10.0


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a damaged copy of a file."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        # Half of the changes are in the first kilobyte, which contains the headers.
        reach = len(changed) if chance.random() < 0.5 else min(1024, len(changed))
        at = chance.randrange(max(reach, 1))
        length = chance.randrange(1, 65)
        match chance.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([chance.choice(_INTERESTING)])
            case 2:
                changed[at : at + 4] = bytes([chance.choice(_INTERESTING)]) * 4
            case 3:
                changed[at:at] = chance.randbytes(length)
            case 4:
                del changed[at : at + length]
            case 5:  # a piece of the file repeated at another place
                start = chance.randrange(max(len(changed), 1))
                changed[at:at] = changed[start : start + length]
            case _:
                del changed[chance.randrange(len(changed) // 2, len(changed) + 1) :]
    return bytes(changed)


def _work(pipe: Connection) -> None:
    while True:
        data: bytes = pipe.recv_bytes()
        start = time.perf_counter()
        end = "image"
        try:
            prepare(data, InputSpec(32, 32))
            probe(data, name="fuzz")
        except ImageError as fault:
            end = type(fault).__name__
        except BaseException:
            end = "fault: " + traceback.format_exc()
        pipe.send((end, time.perf_counter() - start))


class _Worker:
    """A process that reads files; it is restarted if it dies or hangs."""

    def __init__(self) -> None:
        spawned = multiprocessing.get_context("spawn")
        self._pipe, other = spawned.Pipe()
        self._process = spawned.Process(target=_work, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def read(self, data: bytes) -> tuple[str, float]:
        try:
            self._pipe.send_bytes(data)
            if not self._pipe.poll(60):
                return "fault: hangs", 60.0
            end, seconds = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"fault: the process ended ({self._process.exitcode})", 0.0
        return end, seconds

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def main() -> int:
    """Fuzz for a while; return 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)  # noqa: S311 - no secret
    healthy = samples()
    counts: dict[str, int] = {}
    found = 0
    worker = _Worker()
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        name = chance.choice(sorted(healthy))
        data = mutated(healthy[name], chance)
        end, seconds = worker.read(data)
        if seconds > _SLOW_SECONDS and not end.startswith("fault"):
            end = f"fault: {seconds:.0f} s"
        kind = end.split("\n", maxsplit=1)[0]
        counts[kind] = counts.get(kind, 0) + 1
        if end.startswith("fault"):
            found += 1
            options.findings.mkdir(exist_ok=True)
            place = options.findings / f"{seed}-{found}-{name}"
            place.write_bytes(data)
            print(f"{place}: {end}", file=sys.stderr)
            worker.stop()
            worker = _Worker()
    worker.stop()
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"seed {seed}: {sum(counts.values())} files: {told}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
