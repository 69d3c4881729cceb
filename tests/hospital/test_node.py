"""The node between a sender and a destination."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComputedRadiographyImageStorage,
    CTImageStorage,
    Verification,
)

from helpers.pacs import (
    PICTURE,
    REPORT,
    Archive,
    command,
    destination,
    figures,
    images_in,
    node,
    send,
    threads,
)
from helpers.service import wait_until
from pneumoscope.hospital import receive
from pneumoscope.hospital.queue import Queue
from pneumoscope.hospital.settings import NodeSettings
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]


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
        wait_until(lambda: images_in(tmp_path)["read"] == 2)
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
    assert figures(tmp_path)["images"] == {}


def test_a_destination_that_is_away_gets_everything_once_it_is_back(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    archive.stop()
    to = {"archive": destination(archive, first_pause=0.2)}
    with node(tmp_path, destinations=to) as running:
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
    destinations = {"archive": destination(archive, attempts=1, kinds=["report"])}
    with node(tmp_path, archive, destinations=destinations) as running:
        send(running.port, chest(1))
        wait_until(lambda: figures(tmp_path)["deliveries"] == {"dead": 1}, seconds=60)
        shown = command(tmp_path, "queue")
        assert "dead: report" in shown
        assert "0xA900" in shown
        archive.status = 0
        assert "1 deliveries" in command(tmp_path, "requeue")
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
        wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": expected}, seconds=60)
        assert running.stop() == 0
    assert len(archive.uids) == expected
    assert not list((tmp_path / "store/images").glob("*.part"))


def test_an_image_whose_row_was_lost_with_the_power_is_read(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    """It was on disk when it was acknowledged; the queue's file had not reached the disk."""
    with node(tmp_path, archive, keep_images=True) as running:
        assert send(running.port, chest(1), chest(2)) == [0, 0]
        wait_until(lambda: images_in(tmp_path)["read"] == 2, seconds=60)
        wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 4}, seconds=60)
        os.kill(running.process.pid, signal.SIGKILL)
    for path in (tmp_path / "store").glob("queue.sqlite*"):
        path.unlink()
    (tmp_path / "store/images/torn.part").write_bytes(b"torn")
    (tmp_path / "store/images/other.dcm").write_bytes(b"no image")
    archive.got.clear()
    with node(tmp_path, archive) as running:
        wait_until(lambda: len(archive.got) == 4, seconds=60)
        assert running.events("ready")[0]["resumed"] == 2
        assert running.events("not_an_image")
    assert not (tmp_path / "store/images/torn.part").exists()


def test_an_image_whose_file_is_lost_does_not_hold_up_others(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, None) as running:  # it ends before it has read anything
        os.kill(running.process.pid, signal.SIGSTOP)
        os.kill(running.process.pid, signal.SIGKILL)
    queue = Queue(tmp_path / "store/queue.sqlite")
    queue.add("1.2", study="1", path=tmp_path / "gone.dcm", sender="CT1")
    queue.close()
    with node(tmp_path, archive) as running:
        running.wait_for("image_lost")
        assert send(running.port, chest(1)) == [0]
        wait_until(lambda: len(archive.got) == 2, seconds=60)
    assert images_in(tmp_path) == {"waiting": 0, "read": 2}


def test_a_peer_that_falls_silent_within_a_message_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "SILENCE_SECONDS", 0.3)
    before = threading.active_count()
    queue = Queue(tmp_path / "queue.sqlite")
    receiver = receive.Receiver(NodeSettings(tmp_path, port=0), queue, arrived=lambda: None)
    receiver.start()
    try:
        ae = AE(ae_title="CT1")
        ae.add_requested_context(Verification)
        peer = ae.associate("127.0.0.1", receiver.port, ae_title="PNEUMOSCOPE")
        assert peer.dul.socket is not None
        assert peer.dul.socket.socket is not None
        peer.dul.socket.socket.sendall(b"\x04\x00\x00\x00\x01\x00half")  # data of 256 bytes
        wait_until(lambda: threading.active_count() <= before + 1)
    finally:
        receiver.stop()
        queue.close()


def test_a_study_is_sent_once_it_is_quiet(chest: Chest, archive: Archive, tmp_path: Path) -> None:
    """Its images come in two associations."""
    study = {"StudyInstanceUID": "1.2.840.99.7"}
    images = [chest(number, **study) for number in (1, 2)]
    # Longer than a busy machine needs between the two: quiet counts from an image's arrival, not
    # from its reading.
    with node(tmp_path, archive, quiet_seconds=10) as running:
        assert send(running.port, images[0]) == [0]
        last = time.time()
        assert send(running.port, images[1]) == [0]
        wait_until(lambda: images_in(tmp_path)["read"] == 2, seconds=60)
        wait_until(lambda: archive.began > 0, seconds=60)
        assert time.time() - last > 9.9
        wait_until(lambda: len(archive.got) == 4, seconds=60)


def test_an_association_that_is_aborted_costs_nothing(
    chest: Chest, archive: Archive, tmp_path: Path
) -> None:
    with node(tmp_path, archive) as running:
        ae = AE(ae_title="CT1")
        ae.add_requested_context(ComputedRadiographyImageStorage)
        before = threads(running.process.pid)
        for _ in range(20):
            association = ae.associate("127.0.0.1", running.port, ae_title="PNEUMOSCOPE")
            association.abort()
        wait_until(lambda: threads(running.process.pid) <= before)
        assert send(running.port, chest(1)) == [0]
        wait_until(lambda: len(archive.got) == 2, seconds=60)
