"""Workarounds for the connection handling of pynetdicom 3.0.

It reads 4,096 bytes at a time. Each piece gives up the interpreter's lock and asks for it again,
which takes up to 5 ms where other threads read images: seconds for a radiograph.

It loses answers. The thread of an association that we opened looks for messages, too. It is told to
pause while we wait for an answer, but may be past the place where it looks for that; then it takes
the answer, and drops it as unexpected. After the timeout, what the destination had accepted would
be sent again.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pynetdicom.association import Association
    from pynetdicom.events import Event


def read_exactly(connection: socket.socket, count: int) -> bytearray:
    """Read a number of bytes, fewer only if the peer has closed the connection.

    Raises:
        OSError: The connection broke, or its timeout passed.
    """
    content = bytearray(count)
    view = memoryview(content)
    got = 0
    while got < count:
        read = connection.recv_into(view[got:])
        if not read:
            view.release()
            del content[got:]
            break
        got += read
    return content


def prepare(event: Event, seconds: float) -> None:
    """Configure the connection of an association; a handler of EVT_CONN_OPEN.

    Args:
        event: Of pynetdicom.
        seconds: A peer that stops in the middle of a message is let go after this time. Without
            it, its two threads would wait for ever.
    """
    outer = event.assoc.dul.socket
    if outer is None or outer.socket is None:  # it is closed already
        return
    outer.socket.settimeout(seconds)
    outer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outer.recv = partial(read_exactly, outer.socket)  # type: ignore[method-assign]


def keep_answers(association: Association) -> None:
    """Reserve the answers of an outgoing association for the requesting thread.

    Its thread has nothing to take: requests of the peer for N-EVENT-REPORT, the only ones there,
    are handled as they arrive.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]
