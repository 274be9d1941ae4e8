"""What moved in a vendor's published API: each kind of difference is a line, and no trouble is an error."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import BaseModel, Field

from runner.cloud_api.environment import Published
from runner.cloud_api.published import differences, what_moved
from runner.world import RealWorld

DOCUMENT: dict[str, Any] = {
    "info": {"version": "1.10.0"},
    "components": {
        "schemas": {
            "Machine": {
                "allOf": [
                    {"$ref": "#/components/schemas/Named"},
                    {"properties": {"ip": {}, "publicPort": {}}, "required": ["ip"]},
                ]
            },
            "Named": {"properties": {"id": {}}, "required": ["id"]},
        }
    },
}
Break = Callable[[dict[str, Any]], Any]


class Machine(BaseModel):
    id: str
    ip: str
    port: int | None = Field(default=None, alias="publicPort")


PUBLISHED = Published("", "1.10.0", date(2026, 8, 22), lambda: [(Machine, "Machine")])


def part(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"]["Machine"]["allOf"][1]
    return found


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda found: found["info"].update(version="1.11.0"), "its version is 1.11.0, and Douse was written"),
        (lambda found: found["components"]["schemas"].pop("Machine"), "there is no schema Machine any more"),
        (lambda found: part(found)["properties"].pop("publicPort"), "Machine has no field publicPort any more"),
        (lambda found: part(found)["required"].remove("ip"), "Machine may lack its field ip, without which"),
        (lambda found: found["components"]["schemas"]["Named"]["properties"].clear(), "Machine has no field id"),
    ],
    ids=["version", "schema", "alias", "promise", "inherited"],
)
def test_each_difference_is_a_line(change: Break, line: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)

    (found,) = differences(PUBLISHED, document)

    assert found.startswith(line)


def test_nothing_moved_is_no_line_and_what_is_new_there_is_none_either() -> None:
    document = copy.deepcopy(DOCUMENT)
    part(document)["properties"]["gpu"] = {}

    assert list(differences(PUBLISHED, document)) == []


def test_a_field_that_is_known_to_be_newer_than_the_file_has_not_moved() -> None:
    document = copy.deepcopy(DOCUMENT)
    part(document)["properties"].pop("publicPort")

    assert list(differences(replace(PUBLISHED, newer=frozenset({"publicPort"})), document)) == []


@dataclass
class Vendor:
    """A vendor's site on loopback."""

    url: str
    status: int = 200
    body: bytes = b""
    agent: str = ""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    found = Vendor("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.agent = self.headers["User-Agent"]
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/openapi.json"
    yield found
    server.shutdown()
    thread.join(10)
    server.server_close()


def moved(vendor: Vendor) -> list[str]:
    return what_moved(replace(PUBLISHED, url=vendor.url), RealWorld({}))


def test_the_file_of_today_is_fetched_by_name_and_compared(vendor: Vendor) -> None:
    document = copy.deepcopy(DOCUMENT)
    part(document)["properties"].pop("ip")
    vendor.body = json.dumps(document).encode()

    assert moved(vendor) == ["Machine has no field ip any more"]
    assert vendor.agent == "douse"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>please wait</html>"),
        (403, b"{}"),
        (200, b"[]"),
        (200, b'{"info": {}}'),
        (200, json.dumps({**DOCUMENT, "components": {"schemas": {"Machine": None}}}).encode()),
        (200, b" " * (9 << 20)),
    ],
    ids=["a page", "refused", "a list", "cut", "odd", "endless"],
)
def test_a_file_that_cannot_be_read_is_a_line(vendor: Vendor, status: int, body: bytes) -> None:
    vendor.status, vendor.body = status, body

    (line,) = moved(vendor)

    assert line.startswith(f"{vendor.url} cannot be read: ")


def test_no_network_is_a_line() -> None:
    (line,) = what_moved(replace(PUBLISHED, url="http://127.0.0.1:1/openapi.json"), RealWorld({}))

    assert "cannot be read" in line


def test_a_vendors_words_are_short_and_move_no_cursor() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["info"]["version"] = "\x1b[2J" + "9" * 500

    (line,) = differences(PUBLISHED, document)

    assert line.isprintable()
    assert len(line) < 120
