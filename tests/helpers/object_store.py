"""A server of S3 on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

BUCKET = "radiographs"


@contextmanager
def object_store() -> Iterator[Any]:
    """Run a server with one empty bucket, and yield its file system.

    This process and its child processes find it by environment variables.
    """
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        import s3fs  # noqa: PLC0415 - it may be missing
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - the same

        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        # The buckets of an earlier server of this process are still there.
        reset = Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urlopen(reset).close()  # noqa: S310 - our own server
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        s3fs.S3FileSystem.clear_instance_cache()  # those of an earlier server have its address
        files = s3fs.S3FileSystem(use_listings_cache=False)
        files.mkdir(BUCKET)
        try:
            yield files
        finally:
            server.stop()
