"""A bucket on this machine: what Google's client talks to in place of Google."""

import contextlib
import os
from collections.abc import Iterator

from gcp_storage_emulator.server import create_server
from support.processes import free_port


@contextlib.contextmanager
def serve() -> Iterator[dict[str, str]]:
    """The environment of programs that see an empty bucket `runs` at gs://runs."""
    port = free_port()
    server = create_server("localhost", port, in_memory=True, default_bucket="runs")
    server.start()
    try:
        yield {
            "STORAGE_EMULATOR_HOST": f"http://localhost:{port}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks Google what kind of bucket it is
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
