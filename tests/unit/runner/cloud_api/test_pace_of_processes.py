"""Real processes that share an account's pace, at a server that notes when each request is there, on a busy machine."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runner.cloud_api.pacing import with_shared_turns

INTERVAL_S, PROCESSES, REQUESTS, NEIGHBOURS = 0.1, 4, 8, 4
SLOWEST_S = 0.2
GRAIN_S = 1e-3
ASK = """
import os, sys, threading
from runner.cloud_api.http import Api
from runner.cloud_api.pacing import Timer, shared_pace
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.world import RealWorld

endpoint, interval_s, requests = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
world = RealWorld()
pace = shared_pace(world, "lambda", "a-secret-key", endpoint, interval_s)
api = Api("lambda", endpoint, "a-secret-key", refusal=lambda_refusal, pace=pace, timer=Timer(world))

def ask():
    for _ in range(requests // 2):
        api.ask("GET", "/things", doing="list things", repeatable=True)

threads = [threading.Thread(target=ask) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
SPIN = "while True: pass"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.there_s.append(time.monotonic())
        time.sleep(self.server.chance.uniform(0.0, SLOWEST_S))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.there_s, self.chance = list[float](), random.Random(1)


@contextmanager
def serving() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(240)


def test_no_two_requests_of_several_processes_are_nearer_than_the_interval(tmp_path: Path) -> None:
    """A request is noted before it is answered, so this holds however late whoever is let run."""
    environ = with_shared_turns({}, tmp_path)
    neighbours = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(NEIGHBOURS)]
    try:
        with serving() as server:
            words = [f"http://127.0.0.1:{server.server_port}", str(INTERVAL_S), str(REQUESTS)]
            asking = [subprocess.Popen([sys.executable, "-c", ASK, *words], env=environ) for _ in range(PROCESSES)]
            statuses = [one.wait(240) for one in asking]
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait(240)

    assert statuses == [0] * PROCESSES
    assert len(server.there_s) == PROCESSES * REQUESTS
    assert min(next_s - there_s for there_s, next_s in itertools.pairwise(server.there_s)) >= INTERVAL_S - GRAIN_S
