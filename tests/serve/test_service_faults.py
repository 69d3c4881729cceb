"""The service with misbehaving clients, images and processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

import pneumoscope
from helpers.service import Running, resident_mb, running, wait_until
from pneumoscope.cli.serve import PACKAGES

HEAD = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\n"


def test_a_body_that_is_too_long_is_refused_however_it_is_announced(xray: bytes) -> None:
    with running("--workers", "1", "--max-mb", "0.1") as service:
        long = b"\xff" * 200_000
        assert service.predict(long).status == 413
        chunks = (long[at : at + 10_000] for at in range(0, len(long), 10_000))
        assert service.ask("POST", "/v1/predictions", chunks).status == 413  # sent as chunks
        with service.connected() as connection:  # announced, and never sent
            connection.sendall(HEAD + b"Content-Length: 100000000000\r\n\r\n")
            assert b" 413 " in connection.recv(4096)
        with service.connected() as connection:  # a client that waits is told before it sends
            connection.sendall(HEAD + b"Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
            answer = _everything(connection)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"connection: close" in answer
        assert service.predict(xray).status == 200
        assert service.metric('pneumoscope_refusals_total{reason="too_large"}') == 4


def test_a_body_that_is_longer_than_announced_is_refused(service: Running, xray: bytes) -> None:
    with service.connected() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray + b"more")
        assert _everything(connection).startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: service.metric("pneumoscope_queue_depth") == 0)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: -5\r\n", b"Content-Length: 5x\r\n", b"Content-Length: 5\r\n" * 2 + b"X"],
)
def test_a_request_that_is_none_is_refused(service: Running, head: bytes) -> None:
    with service.connected() as connection:
        connection.sendall(HEAD + head + b"\r\nabcde")
        assert b" 400 " in connection.recv(4096)


def test_slow_senders_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("--workers", "1", "--body-seconds", "0.5") as service:
        with service.connected() as connection:  # a chunked body that never ends
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(8):
                connection.sendall(b"1\r\nx\r\n")
                time.sleep(0.1)
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
            _sends_until_cut(connection, b"1\r\nx\r\n")
        assert service.ask("GET", "/v2/health/ready").status == 200
        assert service.metric("pneumoscope_queue_depth") == 0


def _sends_until_cut(connection: socket.socket, piece: bytes, *, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.sendall(piece)
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the connection was not closed")


def test_a_client_that_goes_away_costs_nothing_more(service: Running, xray: bytes) -> None:
    gone = 'pneumoscope_refusals_total{reason="client_gone"}'
    before = service.metric(gone)
    with service.connected() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray[:1000])
    with service.connected() as connection:  # reset instead of closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray[:1000])
    wait_until(lambda: service.metric(gone) == before + 2)
    assert service.metric("pneumoscope_queue_depth") == 0
    assert service.predict(xray).status == 200


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(xray: bytes) -> None:
    with running("--workers", "1", "--queue", "2") as service:
        with ThreadPoolExecutor(24) as clients:
            answers = list(clients.map(lambda _: service.predict(xray), range(72)))
        found = Counter(answer.status for answer in answers)
        assert set(found) == {200, 429}
        assert found[200] >= 2
        refused = [answer for answer in answers if answer.status == 429]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert len({answer.json()["logit"] for answer in answers if answer.status == 200}) == 1
        assert service.predict(xray).status == 200


def test_the_queue_is_full_before_bodies_are_read(xray: bytes) -> None:
    with running("--workers", "1", "--queue", "1") as service:
        with service.connected() as first:
            first.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x")
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            assert service.ask("GET", "/v2/health/ready").status == 503
            assert service.ask("GET", "/v2/health/live").status == 200
            assert service.predict(xray).status == 429
        wait_until(lambda: service.predict(xray).status == 200)


def test_one_client_may_not_take_every_place(xray: bytes) -> None:
    with running("--workers", "1", "--queue", "8", "--per-client", "1") as service:
        with service.connected() as first:
            first.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x")
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            found = service.predict(xray)
            other = service.ask(
                "POST", "/v1/predictions", xray, {"x-forwarded-for": "192.0.2.7"}
            )  # a proxy on this machine says whose request it is
        assert (found.status, "client" in found.json()["detail"]) == (429, True)
        assert other.status == 200


def test_a_process_that_is_killed_loses_no_request(xray: bytes) -> None:
    with running("--workers", "2") as service:
        stop = threading.Event()
        statuses: Counter[int] = Counter()

        def ask() -> None:
            while not stop.is_set():
                statuses[service.predict(xray).status] += 1

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        for _ in range(3):
            wait_until(lambda: service.metric("pneumoscope_workers_ready") == 2, seconds=60)
            os.kill(service.workers()[0], signal.SIGKILL)
            time.sleep(0.2)
        wait_until(lambda: service.metric("pneumoscope_workers_ready") == 2, seconds=60)
        stop.set()
        for client in clients:
            client.join()
        assert set(statuses) <= {200, 503}
        assert statuses[503] <= 2  # an image that met two of the kills
        assert statuses[200] > 0
        assert len(service.events("worker_died")) == 3


def test_an_image_that_takes_too_long_is_given_up(xray: bytes) -> None:
    with running("--workers", "1", "--image-seconds", "2") as service:
        worker = service.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        found = service.predict(xray)
        assert (found.status, found.json()["kind"]) == (422, "Timeout")
        wait_until(lambda: service.metric("pneumoscope_workers_ready") == 1, seconds=60)
        assert service.predict(xray).status == 200
        assert not Path(f"/proc/{worker}").exists()


def test_sigterm_finishes_what_is_under_way(xray: bytes) -> None:
    with running("--workers", "1", "--grace-seconds", "1.5") as service:
        with service.connected() as slow:
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray[:500])
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("draining")
            assert service.ask("GET", "/v2/health/ready").status == 503
            assert service.ask("GET", "/v2/health/live").status == 200
            found = service.predict(xray)
            assert (found.status, found.headers["connection"]) == (200, "close")
            wait_until(lambda: not _accepts(service.port))
            slow.sendall(xray[500:])
            assert _everything(slow).startswith(b"HTTP/1.1 200 ")
        assert service.process.wait(30) == 0
        assert not service.events("fault")


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def test_signals_to_the_whole_group_lose_nothing(xray: bytes) -> None:
    with running("--workers", "1", "--grace-seconds", "0") as service:
        with service.connected() as slow:
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray[:500])
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            for process in (*service.workers(), service.process.pid):
                os.kill(process, signal.SIGTERM)  # as systemd does by default
            service.wait_for("draining")
            slow.sendall(xray[500:])
            assert _everything(slow).startswith(b"HTTP/1.1 200 ")
        assert service.process.wait(30) == 0
        assert not service.events("worker_died")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_ends_at_once_and_leaves_nothing(number: signal.Signals) -> None:
    with running("--workers", "2", "--grace-seconds", "0") as service:
        workers = service.workers()
        assert len(workers) == 2
        assert service.stop(number) == 0
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_a_rolling_restart_fails_no_request(xray: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as shared:
        shared.set_inheritable(True)
        options = ("--workers", "1", "--grace-seconds", "1", "--fd", str(shared.fileno()))
        descriptors = [shared.fileno()]
        with running(*options, pass_fds=descriptors) as old:
            stop = threading.Event()
            statuses: Counter[int] = Counter()

            def ask() -> None:
                while not stop.is_set():
                    statuses[old.predict(xray).status] += 1

            clients = [threading.Thread(target=ask) for _ in range(3)]
            for client in clients:
                client.start()
            with running(*options, pass_fds=descriptors) as new:
                assert old.stop() == 0
                before = new.metric("pneumoscope_wait_seconds_count")
                wait_until(lambda: new.metric("pneumoscope_wait_seconds_count") > before + 5)
                stop.set()
                for client in clients:
                    client.join()
            assert set(statuses) == {200}


def test_a_client_that_connected_just_before_the_end_is_answered(xray: bytes) -> None:
    with running("--workers", "1", "--grace-seconds", "0") as service:
        client = HTTPConnection("127.0.0.1", service.port, timeout=60)
        client.connect()
        assert service.ask("GET", "/v2/health/live").status == 200  # the connection is accepted
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(service.port))
        client.request("POST", "/v1/predictions", xray)
        answer = client.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        client.close()
        assert service.process.wait(60) == 0


def refused(port: int) -> bool:
    """Return whether a port takes no connections."""
    with socket.socket() as other:
        return other.connect_ex(("127.0.0.1", port)) != 0


def test_sighup_reads_the_model_file_anew_without_losing_a_request(
    xray: bytes, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(pneumoscope.Predictor().path, model)
    with running("--workers", "1", "--model", f"first={model}", "--model", "shipped") as service:
        stop = threading.Event()
        statuses: Counter[int] = Counter()

        def ask() -> None:
            while not stop.is_set():
                statuses[service.predict(xray, "?model=first").status] += 1

        client = threading.Thread(target=ask)
        client.start()
        old = service.workers()
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("reloaded")
        wait_until(lambda: not set(old) & set(service.workers()))  # the old one ends its work
        model.write_bytes(b"no model")
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("reload_failed")
        assert service.predict(xray, "?model=first").status == 200
        assert service.predict(xray, "?model=default").status == 200
        stop.set()
        client.join()
        assert set(statuses) == {200}


def test_a_process_that_reads_nothing_is_gone_after_sighup() -> None:
    with running("--workers", "1") as service:
        old = service.workers()
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("reloaded")
        wait_until(lambda: not set(old) & set(service.workers()))


def test_a_model_that_cannot_be_used_ends_the_service(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with (
        pytest.raises(AssertionError, match=r"bad\.onnx"),
        running("--workers", "1", "--model", str(bad)),
    ):
        pass


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _started("--workers", "2", "--port", port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: 127.0.0.1: the service cannot listen on port")
    assert done.stderr.count("\n") == 1


def _started(*options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and to that of all that it started."""
    code = f"import sys\n{before}\nfrom pneumoscope.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, "serve", *options],
        capture_output=True,  # the pipes close when the last process does
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_missing_is_told_in_one_line(package: str) -> None:
    hidden = (
        "from importlib import util\n"
        f"found = util.find_spec\nutil.find_spec = lambda n: None if n == {package!r} else found(n)"
    )
    done = _started("--port", "0", before=hidden)
    assert done.returncode == 1
    assert f"this needs the package '{package}'" in done.stderr
    assert "[serve]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_token_is_asked_for(xray: bytes) -> None:
    with running("--workers", "1", env={"PNEUMOSCOPE_TOKEN": "s3cret"}) as service:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            found = service.ask("POST", "/v1/predictions", xray, headers)
            assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
        assert service.ask("GET", "/metrics").status == 401
        assert service.ask("GET", "/v2/health/ready").status == 200
        assert service.ask("GET", "/").status == 200
        right = {"authorization": "Bearer s3cret"}
        assert service.ask("POST", "/v1/predictions", xray, right).status == 200
        assert "s3cret" not in "".join(service.raw)


def test_used_up_descriptors_are_survived(xray: bytes) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    with running("--workers", "1", preexec_fn=few) as service:
        held = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(150)]
        time.sleep(0.5)
        for connection in held:
            connection.close()
        wait_until(lambda: _served(lambda: service.predict(xray).status == 200))


def _served(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        return False


def test_many_requests_of_all_kinds_leave_nothing_behind(xray: bytes) -> None:
    good, bad = 200, (b"no image", xray[: len(xray) // 2], b"\xff" * 300_000, b"")
    expected = {0: 422, 1: 422, 2: 413, 3: 400}
    with running("--workers", "2", "--max-mb", "0.25") as service:

        def ask(number: int) -> bool:
            if number % 10:
                return service.predict(xray).status == good
            which = number // 10 % len(bad)
            return service.predict(bad[which]).status == expected[which]

        with ThreadPoolExecutor(8) as clients:
            assert all(clients.map(ask, range(400)))
            before = resident_mb(service.process.pid)
            assert all(clients.map(ask, range(400)))
        assert resident_mb(service.process.pid) < before * 1.1
        assert not service.events("fault")
        assert not service.events("worker_died")


def _everything(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found
