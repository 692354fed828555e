"""A bucket on this machine: what Google's client talks to in place of Google."""

import contextlib
import email
import json
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

from gcp_storage_emulator import server as emulator
from support.processes import free_port

_read_data = emulator._read_data


def _read_whole(handler: Any, query: Any) -> Any:
    """The emulator's reader of a request, byte for byte: its own drops a "\\r" at an object's end.

    It takes the bytes for an e-mail's, where the last one would belong to the line's end.
    """
    kind = handler.headers.get("Content-Type") or ""
    if not kind.startswith("multipart/related"):
        return _read_data(handler, query)
    boundary = email.message_from_string(f"Content-Type: {kind}\n\n").get_boundary()
    raw = emulator._decode_raw_data(emulator._read_raw_data(handler), handler)
    _, about, content, _ = raw.split(f"--{boundary}".encode())
    head, _, body = content.partition(b"\n\n")
    return {
        "meta": json.loads(about.partition(b"\n\n")[2]),
        "content": body.removesuffix(b"\n"),
        "content-type": email.message_from_bytes(head.lstrip()).get_content_type(),
    }


@contextlib.contextmanager
def serve() -> Iterator[dict[str, str]]:
    """The environment of programs that see an empty bucket `runs` at gs://runs."""
    port = free_port()
    server = emulator.create_server("localhost", port, in_memory=True, default_bucket="runs")
    silent = mock.patch.object(emulator.server.HTTPServer, "handle_error")  # of who has hung up
    with mock.patch.object(emulator, "_read_data", _read_whole), silent:
        server.start()
        try:
            yield {
                "STORAGE_EMULATOR_HOST": f"http://localhost:{port}",
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it asks Google about the bucket
                "NO_GCE_CHECK": "true",
                "NO_PROXY": "localhost",
            }
        finally:
            server.stop()


@contextlib.contextmanager
def seen() -> Iterator[dict[str, str]]:
    """This process sees the bucket of a new server; yields what others need to see it."""
    import fsspec

    with serve() as environment:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        fsspec.filesystem("gs").clear_instance_cache()
        try:
            yield environment
        finally:
            fsspec.filesystem("gs").clear_instance_cache()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
