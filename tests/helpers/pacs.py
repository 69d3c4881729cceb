"""A node between a sender and a destination, all on this machine."""

from __future__ import annotations

import io
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import yaml
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from helpers.service import Running
from helpers.warm import Warm, run_warm
from pneumoscope.hospital.queue import Queue
from pneumoscope.hospital.transport import keep_answers

REPORT, PICTURE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"
PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"
POLLS = {
    "pneumoscope.hospital.deliver.LONGEST_SLEEP_SECONDS": 0.25,
    "pneumoscope.hospital.node._CLEANING_SECONDS": 0.25,
    "pneumoscope.hospital.node._SLEEP_SECONDS": 0.1,
}
"""Intervals of nodes in tests, instead of seconds."""

FIND, COMMITMENT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.20.1"


class Archive:
    """A destination that stores objects, and misbehaves as configured.

    Attributes:
        got: Stored objects, in order.
        began: Number of received objects, stored or not.
        status: Status of its responses.
        wait: It only responds while this is set.
        asked: The UIDs of queries.
        loses: The UIDs that it does not commit to.
        find_statuses: Failure statuses of the next queries.
        callback: The port that it calls for storage commitment; None responds over the association.
    """

    def __init__(self, *extra: str, **tls: Any) -> None:
        self.got: list[Dataset] = []
        self.began = 0
        self.status = 0x0000
        self.wait = threading.Event()
        self.wait.set()
        self.asked: list[str] = []
        self.loses: set[str] = set()
        self.find_statuses: list[int] = []
        self.callback: int | None = None
        self._tls = tls
        self._ae = AE(ae_title="ARCHIVE")
        for sop_class in (REPORT, PICTURE, *extra):
            self._ae.add_supported_context(sop_class)
        self.port = 0
        self.start()

    def start(self) -> None:
        self._server = self._ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_C_FIND, self._find),
                (evt.EVT_N_ACTION, self._commit),
            ],
            **self._tls,
        )
        assert self._server is not None
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        self.wait.set()
        self._ae.shutdown()
        if self._server is not None and self._server.socket is not None:
            self._server.socket.close()  # pynetdicom 3.0.4 leaves that of TLS open

    def _store(self, event: Any) -> int:
        self.began += 1
        self.wait.wait(30)
        if self.status == 0:
            self.got.append(event.dataset)
        return self.status

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        uid = str(event.identifier.SOPInstanceUID)
        self.asked.append(uid)
        if self.find_statuses:
            yield self.find_statuses.pop(0), None
            return
        if uid in self.uids:
            found = Dataset()
            found.QueryRetrieveLevel = "IMAGE"
            found.SOPInstanceUID = uid
            yield 0xFF00, found
        yield 0x0000, None

    def _commit(self, event: Any) -> tuple[int, None]:
        answer = Dataset()
        answer.TransactionUID = event.action_information.TransactionUID
        items = event.action_information.ReferencedSOPSequence
        self.asked += [str(one.ReferencedSOPInstanceUID) for one in items]
        lost = [one for one in items if one.ReferencedSOPInstanceUID in self.loses]
        self.loses = set()
        answer.ReferencedSOPSequence = [one for one in items if one not in lost]
        if lost:
            answer.FailedSOPSequence = lost
        threading.Thread(target=self._report, args=(event.assoc, answer, bool(lost))).start()
        return 0x0000, None

    def _report(self, association: Any, answer: Dataset, failed: bool) -> None:
        if self.callback is not None:
            caller = AE(ae_title="ARCHIVE")
            caller.add_requested_context(COMMITMENT)
            association = caller.associate(
                "127.0.0.1",
                self.callback,
                ae_title="PNEUMOSCOPE",
                ext_neg=[build_role(COMMITMENT, scp_role=True)],
            )
        kind = 2 if failed else 1
        take = association.dimse.get_msg

        def get_msg(block: bool = False) -> Any:
            return take(block=True) if block else (None, None)

        # Otherwise pynetdicom's own thread may receive and drop the response.
        association.dimse.get_msg = get_msg
        association.send_n_event_report(answer, kind, COMMITMENT, "1.2.840.10008.1.20.1.1")
        association.dimse.get_msg = take
        if self.callback is not None:
            association.release()

    @property
    def uids(self) -> list[str]:
        return [str(one.SOPInstanceUID) for one in self.got]


def destination(archive: Archive, **more: Any) -> dict[str, Any]:
    """Return the settings of a destination."""
    return {"host": "127.0.0.1", "port": archive.port, "ae_title": "ARCHIVE", **more}


@contextmanager
def node(
    folder: Path,
    archive: Archive | None = None,
    *,
    within: Callable[[list[str]], list[str]] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """Run a node on a free port, from when it is ready until the end of the block.

    It checks for new work four times a second; see ``POLLS``.

    Args:
        folder: Folder of its settings and files.
        archive: The only destination.
        within: Changes the command, for example to run in another network namespace; the node is
            then a new process with default intervals.
        settings: Settings of the node.
    """
    destinations = settings.pop("destinations", None)
    if destinations is None and archive is not None:
        destinations = {"archive": destination(archive)}
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
    words = ["pneumoscope", "node", "run", "--settings", str(place)]
    process: subprocess.Popen[str] | Warm
    if within is None:
        process = Warm(*words, follow=True, values=POLLS)
    else:
        process = subprocess.Popen(
            within([sys.executable, "-m", *words]), stderr=subprocess.PIPE, text=True
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
    port: int,
    *contents: bytes,
    called: str = "PNEUMOSCOPE",
    calling: str = "CT1",
    abort_after: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> list[int]:
    """Send images over one association; return the status of each, -1 if it was aborted."""
    ae = AE(ae_title=calling)
    images = [pydicom.dcmread(io.BytesIO(content)) for content in contents]
    for sop_class in {one.SOPClassUID for one in images}:
        ae.add_requested_context(sop_class)
    args = (tls, "localhost") if tls else None
    association = ae.associate("127.0.0.1", port, ae_title=called, tls_args=args)
    if not association.is_established:
        return []
    keep_answers(association)
    found: list[int] = []
    for one in images:
        if len(found) == abort_after:
            association.abort()
            return found
        status = association.send_c_store(one)
        found.append(int(status.Status) if status else -1)
    association.release()
    return found


def figures(folder: Path) -> dict[str, dict[str, int]]:
    queue = Queue(folder / "store/queue.sqlite")
    try:
        return queue.figures()
    finally:
        queue.close()


def command(folder: Path, action: str) -> str:
    words = ("node", action, "--settings", folder / "node.yaml")
    code, said, errors = run_warm("pneumoscope", *words)
    assert code == 0, errors
    return said


def images_in(folder: Path) -> dict[str, int]:
    """Return the numbers of waiting and of read images."""
    counts = figures(folder)["images"]
    return {
        "waiting": counts.get("received", 0) + counts.get("reading", 0),
        "read": counts.get("read", 0) + counts.get("done", 0),
    }


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("Threads:")[1].split()[0])


def issue(authority: Any, folder: Path, name: str) -> dict[str, str]:
    """Write a certificate signed by an authority of trustme, for the settings of a node."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    authority.cert_pem.write_to_path(folder / f"{name}-ca.pem")
    return {
        "certificate": str(folder / f"{name}.pem"),
        "key": str(folder / f"{name}.key"),
        "authorities": str(folder / f"{name}-ca.pem"),
    }
