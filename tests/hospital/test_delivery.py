"""Delivery of objects to destinations of many kinds."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest

from helpers.pacs import (
    COMMITMENT,
    FIND,
    REPORT,
    Archive,
    command,
    destination,
    figures,
    images_in,
    node,
    send,
)
from helpers.service import wait_until
from pneumoscope.hospital.deliver import Sender
from pneumoscope.hospital.links import Link, StoreLink
from pneumoscope.hospital.queue import Queue
from pneumoscope.hospital.reading import answer_to
from pneumoscope.hospital.rows import Delivery, Output
from pneumoscope.hospital.settings import Destination
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]


@contextmanager
def archive_with(*services: str) -> Iterator[Archive]:
    found = Archive(*services)
    try:
        yield found
    finally:
        found.stop()


def test_after_a_crash_what_cannot_be_asked_for_is_sent_again(chest: Chest, tmp_path: Path) -> None:
    """The destination has no C-FIND; what it gets again has the same identifier and content."""
    with archive_with() as archive:
        with node(tmp_path, archive) as running:
            archive.wait.clear()
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: archive.began == 1, seconds=60)
            os.kill(running.process.pid, signal.SIGKILL)
        archive.wait.set()
        wait_until(lambda: len(archive.got) == 1)
        with node(tmp_path, archive) as running:
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 2}, seconds=60)
    assert len(archive.uids) == 3
    assert len(set(archive.uids)) == 2


@pytest.mark.parametrize("calls_back", [True, False])
def test_after_a_crash_storage_commitment_tells_what_arrived(
    chest: Chest, tmp_path: Path, *, calls_back: bool
) -> None:
    """The destination has no C-FIND."""
    with archive_with(COMMITMENT) as archive:
        to = {"archive": destination(archive, commitment=True, kinds=["report"])}
        with node(tmp_path, destinations=to) as running:
            archive.wait.clear()
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: archive.began == 1, seconds=60)
            os.kill(running.process.pid, signal.SIGKILL)
        archive.wait.set()
        wait_until(lambda: len(archive.got) == 1)
        port = running.port
        archive.callback = port if calls_back else None
        with node(tmp_path, destinations=to, port=port):
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"committed": 1}, seconds=60)
    assert archive.began == len(archive.uids) == 1


def test_a_destination_that_cannot_tell_at_the_moment_is_asked_again(
    chest: Chest, tmp_path: Path
) -> None:
    """It has the object; its C-FIND fails twice. Sending again would double it."""
    with archive_with(FIND) as archive:
        archive.wait.clear()
        archive.find_statuses = [0xA700, 0xA700]
        to = {"archive": destination(archive, seconds=1.0, first_pause=0.1, kinds=["report"])}
        with node(tmp_path, destinations=to) as running:
            assert send(running.port, chest(1)) == [0]
            running.wait_for("not_accepted")
            archive.wait.set()
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 1}, seconds=60)
            assert "C-FIND" in running.events("not_accepted")[-1]["reason"]
    assert archive.began == len(archive.uids) == 1


class Accepting(Link):
    """A destination that takes everything."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def send(self, data: pydicom.Dataset) -> str:
        self.got.append(str(data.SOPInstanceUID))
        return ""

    def has(self, data: pydicom.Dataset) -> None:
        """It cannot be asked."""


def test_what_was_accepted_is_noted_though_the_disk_is_full_for_a_while(
    chest: Chest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path / "queue.sqlite")
    to = Destination("archive", ae_title="A", host="127.0.0.1")
    place = tmp_path / "object.dcm"
    place.write_bytes(chest(1))
    queue.add("1", study="1", path=place, sender="CT1")
    image = queue.take_image()
    assert image is not None
    queue.finish(image, {}, [(Output("report", "1.2", REPORT, place), to)], sha256="")
    whole, faults = Queue.mark_sent, iter(range(2))

    def full(self: Queue, delivery: Delivery) -> None:
        if next(faults, None) is not None:
            raise sqlite3.OperationalError("database or disk is full")
        whole(self, delivery)

    monkeypatch.setattr(Queue, "mark_sent", full)
    link = Accepting()
    sender = Sender(to, queue, lambda: link)
    sender.start()
    try:
        wait_until(lambda: queue.figures()["deliveries"] == {"sent": 1}, seconds=20)
    finally:
        sender.end()
        queue.close()
    assert link.got == ["1.2.840.99.1.1.1"]


@pytest.mark.parametrize("calls_back", [True, False])
def test_a_destination_commits_to_keep_what_it_got(
    chest: Chest, tmp_path: Path, *, calls_back: bool
) -> None:
    with archive_with(COMMITMENT) as archive:
        to = {"archive": destination(archive, commitment=True)}
        with node(tmp_path, destinations=to, callers={"CT1": []}) as running:
            archive.callback = running.port if calls_back else None
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"committed": 2}, seconds=60)
            assert running.stop() == 0
    assert sorted(archive.asked) == sorted(archive.uids)


def test_what_a_destination_does_not_keep_is_sent_again(chest: Chest, tmp_path: Path) -> None:
    with archive_with(COMMITMENT) as archive:
        to = {"archive": destination(archive, commitment=True, kinds=["report"])}
        with node(tmp_path, destinations=to) as running:
            archive.wait.clear()
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sending": 1}, seconds=60)
            archive.loses = {path.stem for path in (tmp_path / "store/objects").iterdir()}
            archive.wait.set()
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"committed": 1}, seconds=60)
    assert len(archive.got) == 2
    assert len(set(archive.uids)) == 1


def test_without_commitment_what_was_sent_stays_until_it_comes(
    chest: Chest, tmp_path: Path
) -> None:
    with archive_with() as archive:
        to = {"archive": destination(archive, commitment=True, kinds=["report"])}
        with node(tmp_path, destinations=to) as running:
            assert send(running.port, chest(1)) == [0]
            running.wait_for("commitment_not_asked")
            assert figures(tmp_path)["deliveries"] == {"sent": 1}
            assert list((tmp_path / "store/objects").iterdir())


def test_files_are_removed_once_everything_has_arrived(chest: Chest, tmp_path: Path) -> None:
    with archive_with() as archive, node(tmp_path, archive) as running:
        assert send(running.port, chest(1)) == [0]
        wait_until(lambda: figures(tmp_path)["images"] == {"done": 1}, seconds=60)
        assert not list((tmp_path / "store/objects").iterdir())
        assert not list((tmp_path / "store/images").iterdir())
        assert send(running.port, chest(1)) == [0]  # it is known all the same
        assert images_in(tmp_path) == {"waiting": 0, "read": 1}


def test_after_a_crash_the_destination_is_asked_what_arrived(chest: Chest, tmp_path: Path) -> None:
    """The answer was lost: the node was killed before it came."""
    with archive_with(FIND) as archive:
        with node(tmp_path, archive) as running:
            archive.wait.clear()
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: archive.began == 1, seconds=60)
            os.kill(running.process.pid, signal.SIGKILL)
        archive.wait.set()
        wait_until(lambda: len(archive.got) == 1)
        with node(tmp_path, archive) as running:
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 2}, seconds=60)
    assert len(archive.uids) == len(set(archive.uids)) == 2
    assert archive.asked == archive.uids[:1]


def test_a_destination_that_hangs_does_not_keep_another_waiting(
    chest: Chest, tmp_path: Path
) -> None:
    with archive_with() as slow, archive_with() as other:
        slow.wait.clear()
        to = {"slow": destination(slow, seconds=1.0), "other": destination(other)}
        with node(tmp_path, destinations=to) as running:
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: len(other.got) == 2, seconds=60)
            running.wait_for("not_accepted")
            assert "did not answer" in running.events("not_accepted")[0]["reason"]
            slow.wait.set()
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 4}, seconds=60)


def test_what_arrived_without_an_answer_is_not_sent_again(chest: Chest, tmp_path: Path) -> None:
    with archive_with(FIND) as archive:
        archive.wait.clear()
        to = {"archive": destination(archive, seconds=1.0, first_pause=0.2, kinds=["report"])}
        with node(tmp_path, destinations=to) as running:
            assert send(running.port, chest(1)) == [0]
            running.wait_for("not_accepted")
            archive.wait.set()
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 1}, seconds=60)
    assert len(archive.uids) == archive.began == 1
    assert archive.asked[-1:] == archive.uids


class Late(threading.Event):
    """The thread of an association is held up where it just saw that it need not pause."""

    def wait(self, timeout: float | None = None) -> bool:
        passed = super().wait(timeout)
        time.sleep(0.2)
        return passed


def test_an_answer_is_not_lost_to_another_thread(chest: Chest, reader: Predictor) -> None:
    """pynetdicom's own thread must not take it: the object would be sent again."""
    made = datetime(2026, 11, 27, tzinfo=UTC)
    report = pydicom.dcmread(io.BytesIO(answer_to(chest(1), reader, made=made).objects[0].content))
    with archive_with() as archive:
        settings = Destination("a", **destination(archive, seconds=2.0))
        link = StoreLink(settings, ae_title="PNEUMOSCOPE")
        link.send(report)
        association = link._association
        late, whole = Late(), association.dimse.send_msg
        late.set()
        association._reactor_checkpoint = late
        time.sleep(0.3)  # it is in there now

        def send_msg(*args: Any) -> None:
            whole(*args)
            time.sleep(0.6)  # the answer comes before this thread looks for it

        association.dimse.send_msg = send_msg
        assert link.send(report) == ""
        link.close()
    assert len(archive.got) == 2


class Web:
    """A DICOMweb destination with answers as told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.got: list[bytes] = []
        self.found: list[tuple[int, list[dict[str, Any]]]] = []
        self.pause = threading.Event()
        self.pause.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(*(web.found.pop(0) if web.found else (404, [])))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                begin, end = body.index(b"\r\n\r\n") + 4, body.rindex(b"\r\n--")
                web.got.append(body[begin:end])
                web.pause.wait(30)
                self.answer(*web.answer(pydicom.dcmread(io.BytesIO(web.got[-1]))))

            def answer(self, status: int, answer: object) -> None:
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, got: pydicom.Dataset) -> tuple[int, dict[str, Any]]:
        uid = {"00081155": {"vr": "UI", "Value": [str(got.SOPInstanceUID)]}}
        if self.answers:
            status, more = self.answers.pop(0)
            failed = {"vr": "SQ", "Value": [{**uid, **more}]}
            return status, {"00081198": failed} if more else {}
        return 200, {"00081199": {"vr": "SQ", "Value": [uid]}}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_partly_accepted_answer_of_stow_rs_is_no_success(chest: Chest, tmp_path: Path) -> None:
    web = Web()
    web.answers = [
        (202, {"00081197": {"vr": "US", "Value": [0x0110]}}),  # listed as failed
        (200, {}),  # not listed at all
        (503, {}),
    ]
    try:
        to = {"web": {"url": web.url, "kinds": ["report"], "first_pause": 0.1}}
        with node(tmp_path, destinations=to) as running:
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 1}, seconds=60)
            reasons = [line["reason"] for line in running.events("not_accepted")]
    finally:
        web.close()
    assert reasons == ["failure reason 0x0110", "the response does not list the object", "HTTP 503"]
    assert len(web.got) == 4
    assert len(set(web.got)) == 1


def test_a_destination_on_the_web_that_hangs_is_left(chest: Chest, tmp_path: Path) -> None:
    """Its search fails for a while; then it says that it has the object."""
    web = Web()
    web.pause.clear()
    web.found = [(503, []), (200, [{"00080018": {"vr": "UI", "Value": ["1.2"]}}])]
    try:
        more = {"kinds": ["report"], "first_pause": 0.1, "seconds": 1.0}
        with node(tmp_path, destinations={"web": {"url": web.url, **more}}) as running:
            assert send(running.port, chest(1)) == [0]
            running.wait_for("not_accepted", count=2)
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 1}, seconds=60)
            reasons = [line["reason"] for line in running.events("not_accepted")]
    finally:
        web.pause.set()
        web.close()
    assert reasons == ["ReadTimeout", "the destination cannot be queried (HTTP 503)"]
    assert len(web.got) == 1


def test_the_figures_say_what_waits_and_what_is_dead(chest: Chest, tmp_path: Path) -> None:
    with archive_with() as archive:
        archive.status = 0xA900
        to = {"archive": destination(archive, attempts=1)}
        with node(tmp_path, destinations=to, metrics_port=0) as running:
            assert send(running.port, chest(1)) == [0]
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"dead": 2}, seconds=60)
            running.port = running.events("ready")[0]["metrics_port"]
            line = 'pneumoscope_node_deliveries{destination="archive",state="dead"}'
            assert running.metric(line) == 2
            assert running.metric('pneumoscope_node_images{state="read"}') == 1
            assert running.metric('pneumoscope_node_images_per_minute{what="received"}') == 0.1
            assert running.metric("pneumoscope_node_oldest_waiting_seconds") == 0
            assert running.stop() == 0
    shown = command(tmp_path, "queue")
    assert "images: 1 read" in shown
    assert "last ten minutes: 1 received, 1 read" in shown
    assert "to archive: 2 dead" in shown
