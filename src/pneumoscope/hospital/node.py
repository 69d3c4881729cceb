"""The DICOM node: receive, read, make objects, deliver."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING

from pneumoscope.errors import OutputError
from pneumoscope.hospital.deliver import Sender
from pneumoscope.hospital.durable import write_durably
from pneumoscope.hospital.links import link_to
from pneumoscope.hospital.queue import Queue
from pneumoscope.hospital.reading import Answer, Wanted, answer_apart, answer_to
from pneumoscope.hospital.receive import Receiver
from pneumoscope.hospital.rows import Output
from pneumoscope.reader.prediction import ERROR
from pneumoscope.reader.predictor import Predictor

if TYPE_CHECKING:
    from pneumoscope.hospital.reading import Encoded
    from pneumoscope.hospital.rows import Image
    from pneumoscope.hospital.settings import NodeSettings

_SLEEP_SECONDS = 0.5
_CLEANING_SECONDS = 2.0
_SILENCE_SECONDS = 0.5
_NICE = 19
# Switch interval of threads; with the default of 5 ms, an association would wait for the readers at
# each switch.
_SWITCH_SECONDS = 0.0005

_log = logging.getLogger("pneumoscope.hospital")


class Node:
    """A running node.

    Args:
        settings: Settings of the node.

    Raises:
        ModelFileError: The model cannot be used.
        OutputError: The folder cannot be used.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.predictor = Predictor(settings.model)
        self.predictor.check()
        try:
            settings.folder.mkdir(parents=True, exist_ok=True)
            self._objects = settings.folder / "objects"
            self._objects.mkdir(exist_ok=True)
        except OSError as fault:
            raise OutputError(f"{settings.folder}: cannot be used ({fault.strerror}).") from fault
        place = settings.folder / "queue.sqlite"
        self.queue = Queue(place, quiet_seconds=settings.quiet_seconds)
        self._arrived = threading.Event()
        self.receiver = Receiver(settings, self.queue, arrived=self._arrived.set)
        self._senders = [
            Sender(one, self.queue, lambda one=one: link_to(one, ae_title=settings.ae_title))  # type: ignore[misc]
            for one in settings.destinations
        ]
        self._readers = [
            threading.Thread(
                target=self._read_all, args=(number == 0,), name=f"reader {number}", daemon=True
            )
            for number in range(settings.workers)
        ]
        self._cleaner = threading.Thread(target=self._clean, name="cleaner", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Resume unfinished work, and listen.

        Raises:
            OutputError: The port cannot be listened on.
        """
        sys.setswitchinterval(_SWITCH_SECONDS)
        left = self.queue.resume() + self.receiver.recover()
        for thread in (*self._readers, *self._senders):
            thread.start()
        if self.settings.destinations and not self.settings.keep_images:
            self._cleaner.start()
        try:
            self.receiver.start()
        except OSError as fault:
            where = f"{self.settings.host}:{self.settings.port}"
            raise OutputError(
                f"{where}: the node cannot listen there ({fault.strerror})."
            ) from fault
        facts = {"port": self.receiver.port, "resumed": left}
        if self.settings.metrics_port is not None:
            from pneumoscope.hospital.metrics import serve_metrics  # noqa: PLC0415 - if asked for

            facts["metrics_port"] = serve_metrics(
                self.queue, self.settings.host, self.settings.metrics_port
            )
        _log.info("ready", extra={"facts": facts})

    def stop(self) -> None:
        """Stop receiving, finish the current work, and end."""
        self.receiver.stop()
        self._ended.set()
        for reader in self._readers:
            reader.join()
        for sender in self._senders:
            sender.end()
        if self._cleaner.is_alive():
            self._cleaner.join()
        self.queue.close()
        _log.info("ended", extra={"facts": {}})

    def _read_all(self, always: bool) -> None:
        """Read images until the node ends; if not ``always``, only while no image arrives."""
        if sys.platform == "linux":  # on Linux, it only affects this thread
            # A modality waits for its acknowledgement, but not for a report.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        image = None
        while not self._ended.is_set():
            if not always and self.receiver.silent_seconds < _SILENCE_SECONDS:
                self._ended.wait(_SLEEP_SECONDS)
                continue
            try:
                if image is None:
                    self._arrived.clear()  # before the query, so that no image is missed
                    image = self.queue.take_image()
                if image is None:
                    self._arrived.wait(_SLEEP_SECONDS)
                    continue
                self._read(image)
            except (OSError, sqlite3.Error) as fault:  # such as a full disk: tried again later
                _log.error("not_read", extra={"facts": {"reason": str(fault)}})
                self._ended.wait(_SLEEP_SECONDS)
                continue
            image = None
        if image is not None:
            with contextlib.suppress(sqlite3.Error):  # it is resumed at the next start
                self.queue.put_back(image)

    def _read(self, image: Image) -> None:
        """Read an image, make its objects, and add them to the queue."""
        try:
            content = image.path.read_bytes()
        except OSError as fault:  # a report cannot be created without its header
            _log.error("image_lost", extra={"facts": {"uid": image.uid, "reason": str(fault)}})
            record = {"conclusion": ERROR, "error": f"its file cannot be read ({fault.strerror})"}
            self.queue.finish(image, record, [], sha256="")
            return
        answer = self._answer(image, content)
        outputs = [self._kept(one) for one in answer.objects]
        deliveries = [
            (one, destination)
            for destination in self.settings.destinations
            for one in outputs
            if one.kind in destination.kinds
        ]
        digest = hashlib.sha256(content).hexdigest()
        self.queue.finish(image, answer.record, deliveries, sha256=digest)
        facts = {"uid": image.uid, "conclusion": answer.record["conclusion"]}
        _log.info("read", extra={"facts": facts})
        for sender in self._senders:
            sender.wake()

    def _answer(self, image: Image, content: bytes) -> Answer:
        """Return the answer to an image; a failure gives an answer that states it."""
        made = datetime.now().astimezone()
        wanted = Wanted(
            outline=any("presentation" in one.kinds for one in self.settings.destinations),
            institution=self.settings.institution,
        )
        try:
            if image.attempts > 1:  # the node ended while reading it, perhaps because of it
                return answer_apart(content, self.predictor, made=made, wanted=wanted)
            return answer_to(content, self.predictor, made=made, wanted=wanted)
        except Exception as fault:
            _log.exception("fault", extra={"facts": {"uid": image.uid}})
            reason = f"an internal error ({type(fault).__name__})"
        try:
            return answer_to(content, self.predictor, made=made, wanted=wanted, fault=reason)
        except Exception:
            _log.exception("no_report", extra={"facts": {"uid": image.uid}})
            return Answer({"conclusion": ERROR, "error": reason})

    def _kept(self, one: Encoded) -> Output:
        """Write an object to disk; return its path."""
        path = self._objects / f"{one.uid}.dcm"
        write_durably(path, one.content)
        return Output(one.kind, one.uid, one.sop_class, path)

    def _clean(self) -> None:
        """Remove the files of images whose objects have all been delivered."""
        while not self._ended.wait(_CLEANING_SECONDS):
            for number, paths in self.queue.delivered():
                for path in paths:
                    path.unlink(missing_ok=True)
                self.queue.forget_files(number)
