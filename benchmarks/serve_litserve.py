"""The reader in LitServe, set up as in its documentation: files in a form, one worker per core.

Annotations are evaluated here, since LitServe uses them.
"""

from typing import Any

import litserve as ls
from fastapi import UploadFile

from serve_usual import PORT, WORKERS, reader


class API(ls.LitAPI):  # type: ignore[misc]
    """One image per request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe fixes the arguments
        """Open the model, once in each worker."""
        self.reader = reader()

    def decode_request(self, request: UploadFile) -> bytes:
        """Return the bytes of the file."""
        content: bytes = request.file.read()
        return content

    def predict(self, content: bytes) -> dict[str, Any]:
        """Read the image."""
        return self.reader.read(content)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer."""
        return output


if __name__ == "__main__":
    server = ls.LitServer(API(), accelerator="cpu", workers_per_device=WORKERS, timeout=120)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
