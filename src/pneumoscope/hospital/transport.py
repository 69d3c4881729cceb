"""Workarounds for the connection handling of pynetdicom 3.0.

It reads 4,096 bytes at a time. Each read releases and reacquires Python's lock, which takes up to 5
ms while other threads read images, and so seconds for a radiograph.

It also loses responses. The thread of an outgoing association also reads messages. It is paused
while the requesting thread waits for a response, but may already be reading; it then receives the
response and drops it as unexpected. After the timeout, an object that the destination had accepted
would be sent again.
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
        OSError: The connection was lost, or timed out.
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
        event: The event of pynetdicom.
        seconds: Time limit for a peer that stops in the middle of a message. Without it, its two
            threads would wait forever.
    """
    outer = event.assoc.dul.socket
    if outer is None or outer.socket is None:  # already closed
        return
    outer.socket.settimeout(seconds)
    outer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outer.recv = partial(read_exactly, outer.socket)  # type: ignore[method-assign]


def keep_answers(association: Association) -> None:
    """Reserve the responses of an outgoing association for the requesting thread.

    The association's thread has nothing to receive: N-EVENT-REPORT requests of the peer, the only
    possible ones, are handled as they arrive.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]
