#!/usr/bin/env bash
# pynetdicom 3.0.4 with pydicom 3.0.2; Python 3.11.
# EVT_DIMSE_SENT is called before the message is sent, and while its handler runs nothing is sent.
# A handler that releases the association, or lets another thread do so, cuts off the message that it
# is told of. EVT_PDU_SENT is called after the bytes have left.
# Seen output:
#   EVT_DIMSE_SENT: the peer has received 0 messages when the handler starts, 0 half a second later
#   EVT_PDU_SENT: the peer has received 1 message half a second after the handler starts
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pynetdicom==3.0.4 pydicom==3.0.2
"$place/venv/bin/python" - <<'PYTHON'
import time

from pynetdicom import AE, evt

VERIFICATION = "1.2.840.10008.1.1"
received = []
seen = {}


def echo(event):
    received.append(event.message_id)
    return 0x0000


def dimse_sent(_event):
    before = len(received)
    time.sleep(0.5)
    seen["dimse"] = (before, len(received))


def pdu_sent(event):
    if type(event.pdu).__name__ == "P_DATA_TF":
        time.sleep(0.5)
        seen["pdu"] = len(received)


peer = AE()
peer.add_supported_context(VERIFICATION)
server = peer.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, echo)])
caller = AE()
caller.add_requested_context(VERIFICATION)
association = caller.associate(
    "127.0.0.1",
    server.server_address[1],
    evt_handlers=[(evt.EVT_DIMSE_SENT, dimse_sent), (evt.EVT_PDU_SENT, pdu_sent)],
)
assert association.is_established
assert association.send_c_echo().Status == 0x0000
association.release()
server.shutdown()
before, after = seen["dimse"]
print(
    f"EVT_DIMSE_SENT: the peer has received {before} messages when the handler starts, "
    f"{after} half a second later"
)
print(f"EVT_PDU_SENT: the peer has received {seen['pdu']} message half a second after the handler starts")
assert seen == {"dimse": (0, 0), "pdu": 1}, seen
PYTHON
