from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.unit.trainer.supervisor.metadata_service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join(10)
    found.server.server_close()
