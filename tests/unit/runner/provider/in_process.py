"""The provider served from the tests' own process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.provider.mirror import ADDRESS
from runner.provider.plugin import END_GRACE_S, plugin_server
from runner.provider.resource import Provider
from runner.provider.service import Service


@contextmanager
def serve_in_process(provider: Provider) -> Iterator[tuple[Service, str]]:
    """Serve from this very process.

    Yields:
        The service, and the value of ``TF_REATTACH_PROVIDERS`` by which Terraform finds it.
    """
    service = Service(provider)
    with tempfile.TemporaryDirectory(prefix="tf-", ignore_cleanup_errors=True) as folder:
        socket = Path(folder) / "s"
        server = plugin_server(service, lambda: None)
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        where = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": str(socket)},
        }
        try:
            yield service, json.dumps({ADDRESS: where})
        finally:
            server.stop(grace=END_GRACE_S).wait()
