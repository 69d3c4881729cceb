"""A port that forwards connections to another one, and can be closed at any time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def passed_on(port: int, to: int) -> Iterator[None]:
    """Forward connections during the block; then they are closed, and the port as well.

    Args:
        port: Port to listen on, on the loopback interface.
        to: The port that receives the connections.
    """
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", port))

    def run(work: threading.Thread) -> None:
        threads.append(work)
        work.start()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the connection was lost
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", to))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    run(threading.Thread(target=copy, args=pair, daemon=True))

    run(threading.Thread(target=accept, daemon=True))
    try:
        yield
    finally:
        for end in (listener, *ends):
            with contextlib.suppress(OSError):  # the other side was first
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in threads:
            thread.join(10)
