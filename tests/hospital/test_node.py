"""The node between a sender and a destination."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComputedRadiographyImageStorage,
    CTImageStorage,
    Verification,
)

from helpers.service import Running, wait_until
from pneumoscope.hospital.queue import Queue
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]
REPORT, PICTURE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"


class Archive:
    """A destination that keeps what it gets, and misbehaves as told."""

    def __init__(self) -> None:
        self.got: list[pydicom.Dataset] = []
        self.status = 0x0000
        self.wait = threading.Event()
        self.wait.set()
        self._ae = AE(ae_title="ARCHIVE")
        for sop_class in (REPORT, PICTURE):
            self._ae.add_supported_context(sop_class)
        self.port = 0
        self.start()

    def start(self) -> None:
        server = self._ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        assert server is not None
        self.port = server.server_address[1]

    def stop(self) -> None:
        self.wait.set()
        self._ae.shutdown()

    def _store(self, event: Any) -> int:
        self.wait.wait(30)
        if self.status == 0:
            self.got.append(event.dataset)
        return self.status

    @property
    def uids(self) -> list[str]:
        return [str(one.SOPInstanceUID) for one in self.got]


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive()
    yield found
    found.stop()


@contextmanager
def node(folder: Path, archive: Archive | None = None, **settings: Any) -> Iterator[Running]:
    destinations = settings.pop("destinations", None)
    if destinations is None and archive is not None:
        destinations = {
            "archive": {"host": "127.0.0.1", "port": archive.port, "ae_title": "ARCHIVE"}
        }
    values = {
        "folder": "store",
        "port": 0,
        "workers": 1,
        "least_free_mb": 1,
        "destinations": destinations,
        **settings,
    }
    place = folder / "node.yaml"
    place.write_text(yaml.safe_dump(values), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "pneumoscope", "node", "run", "--settings", str(place)],
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process)
    try:
        running.wait_for("ready")
        running.port = running.events("ready")[0]["port"]
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        running.close()


def send(
    port: int, *contents: bytes, called: str = "PNEUMOSCOPE", calling: str = "CT1"
) -> list[int]:
    """Send images over one association; return the status of each, -1 where it broke."""
    ae = AE(ae_title=calling)
    images = [pydicom.dcmread(io.BytesIO(content)) for content in contents]
    for sop_class in {one.SOPClassUID for one in images}:
        ae.add_requested_context(sop_class)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return []
    found = []
    for one in images:
        status = association.send_c_store(one)
        found.append(int(status.Status) if status else -1)
    association.release()
    return found


def test_images_come_in_and_objects_go_out(chest: Chest, archive: Archive, tmp_path: Path) -> None:
    with node(tmp_path, archive) as running:
        assert send(running.port, chest(1), chest(2)) == [0, 0]
        wait_until(lambda: len(archive.got) == 4, seconds=60)
        assert send(running.port, chest(1)) == [0]  # sent again: nothing new
        assert running.stop() == 0
    assert len(set(archive.uids)) == 4
    kinds = sorted(str(one.SOPClassUID) for one in archive.got)
    assert kinds == sorted([REPORT, PICTURE] * 2)
    assert {one.StudyInstanceUID for one in archive.got} == {"1.2.840.99.1", "1.2.840.99.2"}


def test_what_the_node_made_is_not_read_again(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, archive) as running:
        send(running.port, chest(1))
        wait_until(lambda: len(archive.got) == 2, seconds=60)
        picture = next(one for one in archive.got if one.SOPClassUID == PICTURE)
        out = io.BytesIO()
        picture.file_meta = pydicom.dataset.FileMetaDataset()
        picture.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        picture.save_as(out, enforce_file_format=True)
        assert send(running.port, out.getvalue()) == [0]
        wait_until(lambda: _figures(tmp_path)["images"] == {"read": 2})
        assert running.stop() == 0
    assert len(archive.got) == 2


def test_a_damaged_image_becomes_a_report_that_says_so(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, archive) as running:
        assert send(running.port, chest(1, PixelData=b"\0\0")) == [0]
        wait_until(lambda: len(archive.got) == 1, seconds=60)
    text = str(archive.got[0])
    assert "Failed" in text
    assert "Present" not in text
    assert "Absent" not in text


def test_other_classes_and_unknown_callers_are_refused(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, archive, callers={"CT1": [], "FAR": ["192.0.2.1"]}) as running:
        assert send(running.port, chest(1), calling="WHO") == []
        assert send(running.port, chest(1), calling="FAR") == []
        assert send(running.port, chest(1), called="OTHER") == []
        ae = AE(ae_title="CT1")
        for sop_class in (CTImageStorage, ComputedRadiographyImageStorage, Verification):
            ae.add_requested_context(sop_class)
        association = ae.associate("127.0.0.1", running.port, ae_title="PNEUMOSCOPE")
        accepted = {str(one.abstract_syntax) for one in association.accepted_contexts}
        assert accepted == {str(ComputedRadiographyImageStorage), str(Verification)}
        assert association.send_c_echo().Status == 0
        association.release()


def test_a_full_disk_is_said_in_time(chest: Chest, archive: Archive, tmp_path: Path) -> None:
    with node(tmp_path, archive, least_free_mb=10**9) as running:
        assert send(running.port, chest(1)) == [0xA700]
        assert running.events("disk_full")
    assert _figures(tmp_path)["images"] == {}


def test_a_destination_that_is_away_gets_everything_once_it_is_back(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    archive.stop()
    with node(tmp_path, archive) as running:
        assert send(running.port, chest(1), chest(2)) == [0, 0]
        running.wait_for("not_accepted", count=2)
        archive.start()
        wait_until(lambda: len(archive.got) == 4, seconds=60)
        assert running.stop() == 0
    assert len(set(archive.uids)) == 4


def test_what_is_refused_for_good_waits_for_a_person(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    archive.status = 0xA900
    destinations = {
        "archive": {
            "host": "127.0.0.1",
            "port": archive.port,
            "ae_title": "ARCHIVE",
            "attempts": 1,
            "kinds": ["report"],
        }
    }
    with node(tmp_path, archive, destinations=destinations) as running:
        send(running.port, chest(1))
        wait_until(lambda: _figures(tmp_path)["deliveries"] == {"dead": 1}, seconds=60)
        shown = _command(tmp_path, "queue")
        assert "dead: report" in shown
        assert "0xA900" in shown
        archive.status = 0
        assert "1 deliveries" in _command(tmp_path, "requeue")
        wait_until(lambda: len(archive.got) == 1, seconds=60)


def test_kill_9_loses_nothing_and_sends_nothing_twice(
    chest: Chest, reader: Predictor, archive: Archive, tmp_path: Path
) -> None:
    contents = [chest(number) for number in range(1, 9)]
    judged = [one for one in contents if reader.predict(one).probability is not None]
    expected = len(contents) + len(judged)  # a report each, and pictures of what was judged
    acknowledged: set[int] = set()
    kills = 0
    while kills < 4 or len(acknowledged) < len(contents):
        with node(tmp_path, archive) as running:
            for number, content in enumerate(contents):
                if number in acknowledged:
                    continue
                if send(running.port, content) == [0]:
                    acknowledged.add(number)
                if len(acknowledged) >= 2 * (kills + 1):
                    break
            time.sleep(0.15 * kills)
            os.kill(running.process.pid, signal.SIGKILL)
            kills += 1
    with node(tmp_path, archive) as running:
        wait_until(lambda: len(set(archive.uids)) == expected, seconds=120)
        wait_until(lambda: _figures(tmp_path)["deliveries"] == {"sent": expected}, seconds=60)
        assert running.stop() == 0
    # An object whose acknowledgement was under way at a kill may come again, under the same UID.
    assert len(archive.uids) - len(set(archive.uids)) <= kills
    assert not list((tmp_path / "store/images").glob("*.part"))


def test_an_association_that_is_aborted_costs_nothing(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, archive) as running:
        ae = AE(ae_title="CT1")
        ae.add_requested_context(ComputedRadiographyImageStorage)
        for _ in range(20):
            association = ae.associate("127.0.0.1", running.port, ae_title="PNEUMOSCOPE")
            association.abort()
        status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
        threads = int(status.split("Threads:")[1].split()[0])
        wait_until(lambda: _threads(running.process.pid) <= threads)
        assert send(running.port, chest(1)) == [0]
        wait_until(lambda: len(archive.got) == 2, seconds=60)


def _threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("Threads:")[1].split()[0])


def _figures(folder: Path) -> dict[str, dict[str, int]]:
    queue = Queue(folder / "store/queue.sqlite")
    try:
        return queue.figures()
    finally:
        queue.close()


def _command(folder: Path, action: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "pneumoscope", "node", action]
        + ["--settings", str(folder / "node.yaml")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
