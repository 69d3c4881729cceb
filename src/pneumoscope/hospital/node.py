"""The node: receives, reads, makes objects, delivers."""

from __future__ import annotations

import io
import logging
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import ImageError, OutputError
from pneumoscope.hospital.deliver import Sender, link_to
from pneumoscope.hospital.objects import is_own, objects_of
from pneumoscope.hospital.queue import Output, Queue
from pneumoscope.hospital.receive import Receiver, write_durably
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.prediction import ERROR, ModelName, Prediction
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import record_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pneumoscope.hospital.queue import Image
    from pneumoscope.hospital.settings import NodeSettings

ATTEMPTS = 3
"""An image during whose reading the node died so often is answered as a failure."""

_SLEEP_SECONDS = 0.5

_log = logging.getLogger("pneumoscope.hospital")


class Node:
    """A running node.

    Args:
        settings: Of the node.

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
        self.queue = Queue(settings.folder / "queue.sqlite")
        self.receiver = Receiver(settings, self.queue)
        self._senders = [
            Sender(one, self.queue, lambda one=one: link_to(one, ae_title=settings.ae_title))  # type: ignore[misc]
            for one in settings.destinations
        ]
        self._readers = [
            threading.Thread(target=self._read_all, name=f"reader {number}", daemon=True)
            for number in range(settings.workers)
        ]
        self._ended = threading.Event()

    def start(self) -> None:
        """Take up what was left, and listen.

        Raises:
            OutputError: It cannot listen there.
        """
        self.receiver.clean()
        left = self.queue.resume()
        for thread in (*self._readers, *self._senders):
            thread.start()
        try:
            self.receiver.start()
        except OSError as fault:
            where = f"{self.settings.host}:{self.settings.port}"
            raise OutputError(
                f"{where}: the node cannot listen there ({fault.strerror})."
            ) from fault
        _log.info("ready", extra={"facts": {"port": self.receiver.port, "resumed": left}})

    def stop(self) -> None:
        """Stop receiving, finish what is in hand, and end."""
        self.receiver.stop()
        self._ended.set()
        for reader in self._readers:
            reader.join()
        for sender in self._senders:
            sender.end()
        self.queue.close()
        _log.info("ended", extra={"facts": {}})

    def _read_all(self) -> None:
        while not self._ended.is_set():
            image = self.queue.take_image()
            if image is None:
                self._ended.wait(_SLEEP_SECONDS)
                continue
            try:
                self._read(image)
            except OSError as fault:  # a full disk: the image is read again after a restart
                _log.error("not_read", extra={"facts": {"reason": fault.strerror}})
                self._ended.wait(_SLEEP_SECONDS)

    def _read(self, image: Image) -> None:
        """Read an image, make its objects, and note them."""
        content = image.path.read_bytes()
        try:
            header = read_header(content)
        except ImageError as fault:
            self.queue.finish(image, {"conclusion": ERROR, "error": str(fault)}, [])
            _log.error("no_header", extra={"facts": {"uid": image.uid}})
            return
        if is_own(header):
            self.queue.finish(image, {"conclusion": "OWN"}, [])
            return
        found = self._predicted(content, image)
        outputs = [
            self._kept(one.kind, one.data)
            for one in objects_of(
                header, content, found, self.predictor, made=datetime.now().astimezone()
            )
        ]
        deliveries = [
            (one, destination.name)
            for destination in self.settings.destinations
            for one in outputs
            if one.kind in destination.kinds
        ]
        self.queue.finish(image, record_of(found), deliveries)
        for sender in self._senders:
            sender.wake()

    def _predicted(self, content: bytes, image: Image) -> Prediction:
        if image.attempts > ATTEMPTS:
            return self._failure(f"the node ended {ATTEMPTS} times while reading this image")
        try:
            return self.predictor.predict(content)
        except ImageError as fault:
            return self._failure(str(fault).removeprefix("<bytes>: "))

    def _failure(self, reason: str) -> Prediction:
        info = self.predictor.info
        return Prediction(
            "",
            ERROR,
            None,
            None,
            info.operating_point.threshold,
            reason,
            rule=info.operating_point.rule,
            model=ModelName(info.name, info.version, self.predictor.sha256),
        )

    def _kept(self, kind: str, data: Dataset) -> Output:
        """Write an object to disk; return where it lies."""
        out = io.BytesIO()
        data.save_as(out, enforce_file_format=True)
        uid = str(data.SOPInstanceUID)
        path: Path = self._objects / f"{uid}.dcm"
        write_durably(path, out.getvalue())
        return Output(kind, uid, str(data.SOPClassUID), path)
