"""The DICOM node: receiving, the latency of one image, a long queue, aborted associations."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from harness import PNEUMOSCOPE, Outcome, Plan, Row, interleaved, medians, say, skip
from readers import Reader, reader_of

_CR = "1.2.840.10008.5.1.4.1.1.1"
_STUDY = "1.2.840.99"
_PORT = 11112
_PEER_PORT = 11113


def measure(plan: Plan) -> Outcome:
    """Measure the parts one after the other."""
    for name in ("storescu", "storescp", "unshare", "nsenter", "ip"):
        if shutil.which(name) is None:
            return skip(f"{name} is not installed")
    try:
        import pynetdicom  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError:
        return skip("the extra 'hospital' is not installed")
    reader = reader_of(plan)
    details: dict[str, Any] = {"reader": reader.told}
    with network() as inside:
        rows = [*_receiving(plan, reader, inside, details)]
    rows += [*_one_image(plan, reader, details), *_long_queue(plan, reader, details)]
    rows += _aborts(plan, reader, details)
    return Outcome(rows, details)


# --- preparation ---


@contextmanager
def network() -> Iterator[list[str]]:
    """Yield the command prefix of a network namespace; dcmtk listens on all interfaces."""
    holder = subprocess.Popen(
        ["unshare", "-rn", "sh", "-c", "ip link set lo up && echo up && exec sleep 86400"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if holder.stdout is None or holder.stdout.readline() != "up\n":
            raise RuntimeError("no network namespace can be made here")
        yield ["nsenter", "-t", str(holder.pid), "-U", "-n", "--preserve-credentials"]
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def node(
    reader: Reader, folder: Path, *, inside: Sequence[str] = (), **settings: Any
) -> Iterator[tuple[int, int]]:
    """Run a node; yield its port and process."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "node.yaml"
    values = {"folder": "store", "port": 0, "model": str(reader.path), "keep_images": True}
    place.write_text(yaml.safe_dump({**values, **settings}), encoding="utf-8")
    log = folder / "node.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*inside, PNEUMOSCOPE, "node", "run", "--settings", place], stderr=stream
        )
    try:
        while '"ready"' not in log.read_text():
            if process.poll() is not None:
                raise RuntimeError(f"the node did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)
        ready = next(line for line in log.read_text().splitlines() if '"ready"' in line)
        yield json.loads(ready)["port"], process.pid
    finally:
        process.kill()
        process.wait()


def radiographs(folder: Path, count: int, *, largest: float) -> list[Path]:
    """Write 12-bit radiographs of 2 MB up to the largest, uncompressed."""
    from pneumoscope.data.phantom import render  # noqa: PLC0415 - for this alone

    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in range(count):
        megabytes = 2 + (largest - 2) * (number % 7) / 6
        side = round((megabytes * 1e6 / 2) ** 0.5)
        if number < 7:  # drawn once per size; the files differ in their identifiers
            drawn = render("NORMAL", patient_seed=number, size_px=(side, side)).pixels
            pixels = drawn.astype(np.uint16) * 16
        else:
            pixels = _pixels_of(paths[number % 7])
        paths.append(folder / f"{number:05}.dcm")
        paths[-1].write_bytes(dicom(pixels, number))
    return paths


def _pixels_of(path: Path) -> np.ndarray[Any, Any]:
    import pydicom  # noqa: PLC0415 - for this alone

    return pydicom.dcmread(path).pixel_array


def dicom(pixels: np.ndarray[Any, Any], number: int) -> bytes:
    """Return a radiograph as a DICOM file."""
    import pydicom  # noqa: PLC0415 - for this alone

    data = pydicom.Dataset()
    data.SOPClassUID = _CR
    data.SOPInstanceUID = f"{_STUDY}.{number}.1.1"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{_STUDY}.{number}", f"{_STUDY}.{number}.1"
    data.Modality, data.PatientName, data.PatientID = "CR", "Doe^Jane", str(number)
    data.BodyPartExamined, data.ViewPosition, data.PatientAge = "CHEST", "AP", "003Y"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = pixels.tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


class Destination:
    """Accepts every object and records the time; only on this machine's network."""

    def __init__(self) -> None:
        from pynetdicom import AE, evt  # noqa: PLC0415 - an extra

        self.times: list[float] = []
        self._ae = AE(ae_title="ARCHIVE")
        for sop_class in ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"):
            self._ae.add_supported_context(sop_class)
        server = self._ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._stored)]
        )
        if server is None:
            raise RuntimeError("the destination does not listen")
        self.settings = {
            "archive": {
                "host": "127.0.0.1",
                "port": server.server_address[1],
                "ae_title": "ARCHIVE",
            }
        }

    def _stored(self, _event: object) -> int:
        self.times.append(time.perf_counter())
        return 0

    def wait(self, count: int, *, seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while len(self.times) < count:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(self.times)} of {count} objects arrived")
            time.sleep(0.001)

    def close(self) -> None:
        self._ae.shutdown()


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process has no resident memory")


# --- measurements ---


def _receiving(
    plan: Plan, reader: Reader, inside: list[str], details: dict[str, Any]
) -> Iterator[Row]:
    """Send the same files with dcmtk over one association to the node and to dcmtk."""
    count = plan.count(500, generated=500, quick=8)
    say(f"writing {count} radiographs")
    paths = radiographs(plan.work / "radiographs", count, largest=8)

    def sent(port: int, *environment: str) -> None:
        words = ["storescu", "-aec", "ANY-SCP", "127.0.0.1", str(port), *map(str, paths)]
        subprocess.run([*inside, "env", *environment, *words], check=True, capture_output=True)

    rounds = iter(range(1000))
    waited: list[float] = []

    def ours() -> None:
        folder = plan.work / f"node{next(rounds)}"
        with node(reader, folder, inside=inside, port=_PORT, check_called=False):
            started = time.perf_counter()
            sent(_PORT)
            waited.append(time.perf_counter() - started)
        shutil.rmtree(folder)

    def theirs(*environment: str) -> float:
        folder = plan.work / f"dcmtk{next(rounds)}"
        folder.mkdir()
        process = subprocess.Popen(
            [*inside, "env", *environment, "storescp", "-od", folder, str(_PEER_PORT)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(0.5)
            started = time.perf_counter()
            sent(_PEER_PORT, *environment)
            return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)

    plain: list[float] = []
    quick: list[float] = []
    for _ in range(plan.count(3, generated=3, quick=1)):
        ours()
        plain.append(theirs())
        quick.append(theirs("TCP_NODELAY=1"))
        say(f"node {waited[-1]:.2f} s, dcmtk {plain[-1]:.2f} s, TCP_NODELAY {quick[-1]:.2f} s")
    details["receiving"] = {"node": waited, "dcmtk": plain, "dcmtk_nodelay": quick}
    rate, other, fastest = (count / median(values) for values in (waited, plain, quick))
    what = f"receive {count} radiographs of 2 to 8 MB over one association, reading beside it"
    yield Row(
        what,
        f"{rate:.0f} images/s",
        f"{other:.0f} images/s (dcmtk's storescp)",
        rate / other,
        at_least=2.0,
    )
    yield Row(
        "the same against TCP_NODELAY=1 on both sides of dcmtk",
        f"{rate:.0f} images/s",
        f"{fastest:.0f} images/s",
        rate / fastest,
    )


def _one_image(plan: Plan, reader: Reader, details: dict[str, Any]) -> Iterator[Row]:
    """Send images one by one, and wait until the report and the picture have arrived."""
    import pydicom  # noqa: PLC0415 - for this alone
    from pynetdicom import AE  # noqa: PLC0415 - an extra

    from pneumoscope.hospital.transport import keep_answers  # noqa: PLC0415
    from pneumoscope.reader.evidence import evidence_image  # noqa: PLC0415
    from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415

    count = plan.count(100, generated=100, quick=3)
    paths = sorted((plan.work / "radiographs").iterdir())[:count]
    predictor = Predictor(reader.path, gated=False)
    predictor.check()
    destination = Destination()
    ways: list[float] = []
    alone: list[float] = []
    with node(reader, plan.work / "one", destinations=destination.settings, workers=1) as (port, _):
        ae = AE(ae_title="CT1")
        ae.add_requested_context(_CR)
        association = ae.associate("127.0.0.1", port, ae_title="PNEUMOSCOPE")
        keep_answers(association)
        expected = 0
        for path in paths:
            content = path.read_bytes()
            image = pydicom.dcmread(io.BytesIO(content))
            started = time.perf_counter()
            association.send_c_store(image)
            expected += _objects_of(predictor, content)
            destination.wait(expected)
            ways.append(destination.times[expected - 1] - started)
            time.sleep(0.05)  # the node is idle
            started = time.perf_counter()
            found = predictor.predict(content)
            if found.probability is not None:
                evidence_image(predictor, found, content)
            alone.append(time.perf_counter() - started)
        association.release()
    destination.close()
    details["one_image"] = {"way": ways, "alone": alone}
    here, there = median(ways), median(alone)
    yield Row(
        f"from sending an image to its report and picture accepted, median of {len(ways)}",
        f"{here * 1000:.0f} ms",
        f"{there * 1000:.0f} ms (predict with evidence, in process)",
        here / there,
        at_most=2.0,
    )


def _objects_of(predictor: Any, content: bytes) -> int:
    """Return the number of objects that the node makes; refused images have no picture."""
    from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415

    return 1 + (Predictor(predictor.path).predict(content).probability is not None)


def _long_queue(plan: Plan, reader: Reader, details: dict[str, Any]) -> Iterator[Row]:
    """Start a node with many rows in its queue, most of them done, and one with an empty queue."""
    count = plan.count(100_000, generated=100_000, quick=500)
    destination = {"archive": {"host": "127.0.0.1", "port": 9, "ae_title": "ARCHIVE"}}
    memory: dict[str, float] = {}
    folders = {name: plan.work / f"queue-{name}" for name in ("long", "empty")}
    with node(reader, folders["long"], destinations=destination):
        pass
    _fill(folders["long"] / "store" / "queue.sqlite", count)

    def start(name: str) -> None:
        with node(reader, folders[name], destinations=destination) as (_, pid):
            memory[name] = resident_mb(pid)

    taken = interleaved(
        {name: lambda name=name: start(name) for name in folders},  # type: ignore[misc]
        rounds=plan.count(5, generated=5, quick=1),
    )
    details["long_queue"] = {**taken, "memory": memory}
    found = medians(taken)
    yield Row(
        f"start of the node with {count:,} rows in its queue, until it receives",
        f"{found['long']:.2f} s",
        f"{found['empty']:.2f} s (none)",
        found["long"] / found["empty"],
        seconds=found["long"],
        at_most_seconds=2.0,
    )
    yield Row(
        "its memory",
        f"{memory['long']:.0f} MB",
        f"{memory['empty']:.0f} MB (none)",
        memory["long"] / memory["empty"],
        at_most=1.1,
    )


def _fill(path: Path, count: int) -> None:
    connection = sqlite3.connect(path)
    now = time.time()
    with connection:
        connection.executemany(
            "INSERT INTO images (id, uid, study, path, sha256, sender, state, received, read)"
            " VALUES (?, ?, '', '', '', 'CT1', 'done', ?, ?)",
            ((number, f"{_STUDY}.{number}", now, now) for number in range(1, count + 1)),
        )
        connection.executemany(
            "INSERT INTO deliveries"
            " (image, kind, uid, class, path, destination, state, due, commits)"
            " VALUES (?, 'report', ?, '', '', 'archive', ?, ?, 0)",
            (
                (number, f"2.25.{number}", "sent" if number % 2 else "waiting", now + 3600)
                for number in range(1, count + 1)
            ),
        )
    connection.close()


def _aborts(plan: Plan, reader: Reader, details: dict[str, Any]) -> list[Row]:
    """Send many images, abort many associations, and measure memory and threads."""
    from pynetdicom import AE  # noqa: PLC0415 - an extra

    from pneumoscope.hospital.transport import keep_answers  # noqa: PLC0415

    associations = plan.count(1000, generated=1000, quick=6)
    pixels = np.zeros((64, 64), np.uint16)
    pixels[16:48] = 3000
    destination = Destination()
    with node(
        reader, plan.work / "aborts", destinations=destination.settings, least_free_mb=64
    ) as (_port, pid):
        memory: list[float] = []
        threads: list[int] = []
        sent = 0
        for number in range(associations):
            ae = AE(ae_title="CT1")
            ae.add_requested_context(_CR)
            association = ae.associate("127.0.0.1", _port, ae_title="PNEUMOSCOPE")
            keep_answers(association)
            last = 5 if number % 3 == 0 else 10
            for item in range(last):
                import pydicom  # noqa: PLC0415 - for this alone

                image = pydicom.dcmread(io.BytesIO(dicom(pixels, number * 10 + item + 10**6)))
                sent += int(association.send_c_store(image).Status == 0)
            association.abort() if last == 5 else association.release()
            if number in {associations // 10, associations - 1}:
                destination.wait(sent)
                memory.append(resident_mb(pid))
                threads.append(len(list(Path(f"/proc/{pid}/task").iterdir())))
    destination.close()
    details["aborts"] = {"sent": sent, "memory": memory, "threads": threads}
    return [
        Row(
            f"memory after {associations:,} associations, a third of them aborted",
            f"{memory[-1]:.0f} MB",
            f"{memory[0]:.0f} MB (after a tenth)",
            memory[-1] / memory[0],
            at_most=1.1,
        ),
        Row(
            "its threads", str(threads[-1]), str(threads[0]), threads[-1] / threads[0], at_most=1.1
        ),
    ]


if __name__ == "__main__":
    sys.exit("Run it by benchmarks/run.py --only hospital.")
