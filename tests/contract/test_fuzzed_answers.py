"""Answers by the vendors' own schemas, changed ones and any others: each becomes what a client returns, or an error.

The schemas are those of ``vendor_fields``. CI tries a fixed number of answers; ``DOUSE_EXAMPLES=1000`` as many others.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.cloud_api.models import Listing, Offer
from runner.clouds.lambda_cloud.api import LambdaCloud
from runner.clouds.runpod.api import RunPodCloud
from runner.errors import CloudError
from tests.contract.generated import Document
from tests.contract.test_cloud_specs import LAMBDA_CALLS, RUNPOD_CALLS
from tests.contract.vendor_fields.trim import LAMBDA, RUNPOD, Vendor, read
from tests.tools.examples import examples
from tests.tools.odd_values import changed, values
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key

RUN = "20261121-063736-x"
DOCUMENTS = {vendor: Document(read(vendor)) for vendor in (LAMBDA, RUNPOD)}
LISTS = {"/api/v1/instances": "data", "/v2/pods": "pods"}
"""Where the lists of machines are, by the path and the field of its answer."""
STATUSES = (
    200,
    200,
    200,
    201,
    202,
    204,
    206,
    301,
    400,
    401,
    402,
    403,
    404,
    408,
    409,
    418,
    422,
    425,
    429,
    500,
    503,
    504,
    599,
)
BYTES = (
    b"",
    b" ",
    b"null",
    b"{",
    b"[",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"<html>log in</html>",
    b"[" * 100_000,
    b"9" * 5000,
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"content-type": "text/html"},
    {"retry-after": "9" * 400},
    {"retry-after": "Mon, 01 Jan 99999999999999 00:00:00 GMT"},
    {"date": "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"},
    {"ratelimit": f'"a";r={"9" * 5000};t=1'},
    {"ratelimit": '"a";r=0;t=99999999999'},
    {"link": '<x>; rel="next"'},
)
Calls = list[tuple[str, Callable[[Any], object]]]
MORE_LAMBDA: Calls = [("launch, then look", lambda cloud: cloud.machines_named(f"douse-{RUN}"))]
MORE_RUNPOD: Calls = [
    ("offers", lambda cloud: cloud.offers("any")),
    ("account", lambda cloud: cloud.account()),
]


class Strange:
    """A transport whose every answer comes from chance; it remembers what it listed last."""

    def __init__(self, vendor: Vendor, data: st.DataObject, *, valid: bool) -> None:
        self._document, self._data, self._valid = DOCUMENTS[vendor], data, valid
        self.listed: Any = None
        self.marked: set[str] = set()
        self.transport = httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        status, body = self._data.draw(self._known(request))
        headers: dict[str, str] = {}
        content = b"" if body is None else json.dumps(body).encode()
        if not self._valid:
            kind = self._data.draw(st.sampled_from(["as it is", "changed", "any", "bytes"]))
            status = self._data.draw(st.sampled_from([status, status, *STATUSES]))
            headers = self._data.draw(st.sampled_from(HEADERS))
            if kind == "changed" and body is not None:
                content = json.dumps(self._data.draw(changed(body))).encode()
            elif kind == "any":
                content = json.dumps(self._data.draw(values)).encode()
            elif kind == "bytes":
                content = self._data.draw(st.sampled_from(BYTES) | st.binary(max_size=40))
        if request.method == "GET" and request.url.path in LISTS:
            self._remember(status, content, LISTS[request.url.path])
        return httpx2.Response(status, content=content, headers={"content-type": "application/json", **headers})

    def _known(self, request: httpx2.Request) -> st.SearchStrategy[tuple[int, Any]]:
        if request.url.path == "/graphql":
            bids = {"gpuTypes": [{"id": "g", "lowestPrice": {"minimumBidPrice": 0.1, "stockStatus": "High"}}]}
            return st.sampled_from(
                [(200, {"data": {**bids, "myself": {"clientBalance": 1.0}}}), (200, {"errors": [{}]})]
            )
        operation = self._document.operation(request.method, request.url.path)
        return self._document.answers(operation).map(self._with_mark)

    def _with_mark(self, answer: tuple[int, Any]) -> tuple[int, Any]:
        """Make the first machine of a list one of ours, with an id that no other has."""
        status, body = answer
        found = next((body.get(name) for name in LISTS.values() if isinstance(body, dict) and body.get(name)), None)
        if isinstance(found, list) and isinstance(found[0], dict) and {"id", "status"} <= found[0].keys():
            found[0] |= {"id": "marked", "name": f"douse-{RUN}", "status": "active"}
        return status, body

    def _remember(self, status: int, content: bytes, field: str) -> None:
        try:
            body = json.loads(content)
            self.listed = body[field] if status in (200, 201) and isinstance(body[field], list) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            self.listed = None


def open_cloud(vendor: Vendor, seam: Strange) -> Any:
    if vendor is LAMBDA:
        return LambdaCloud(new_key(), pace_s=0.0, timer=FakeTime().timer, transport=seam.transport)
    return RunPodCloud(new_key(), timer=FakeTime().timer, transport=seam.transport)


def judge(found: object, seam: Strange) -> None:
    """Fail if what a client made of the answers is not what these say."""
    if isinstance(found, Listing):
        assert seam.listed is not None or found.unread, "no machine, by a list that cannot be read"
        has_mark = any(isinstance(one, dict) and one.get("id") == "marked" for one in seam.listed or ())
        assert not has_mark or found.unread or "marked" in [one.id for one in found.resources]
    for offer in found if isinstance(found, list) else ():
        if isinstance(offer, Offer):
            numbers = (offer.price_usd_per_h, offer.gpu_memory_gib, offer.memory_gib, offer.disk_gib)
            assert all(number is None or (math.isfinite(number) and number >= 0) for number in numbers)


CASES = [
    *((LAMBDA, name, call) for name, call in [*LAMBDA_CALLS, *MORE_LAMBDA, ("listing", lambda cloud: cloud.listing())]),
    *((RUNPOD, name, call) for name, call in [*RUNPOD_CALLS, *MORE_RUNPOD, ("listing", lambda cloud: cloud.listing())]),
]
each_call = pytest.mark.parametrize(
    ("vendor", "call"),
    [(vendor, call) for vendor, _, call in CASES],
    ids=[f"{vendor.name} {name}" for vendor, name, _ in CASES],
)


@each_call
@examples(25)
@given(data=st.data())
def test_any_answer_that_a_vendor_promises_is_read_or_is_an_expected_error(
    vendor: Vendor, call: Callable[[Any], object], data: st.DataObject
) -> None:
    try_out(vendor, call, Strange(vendor, data, valid=True))


@each_call
@examples(40)
@given(data=st.data())
def test_any_other_answer_is_read_or_is_an_expected_error(
    vendor: Vendor, call: Callable[[Any], object], data: st.DataObject
) -> None:
    try_out(vendor, call, Strange(vendor, data, valid=False))


def try_out(vendor: Vendor, call: Callable[[Any], object], seam: Strange) -> None:
    cloud = open_cloud(vendor, seam)
    with contextlib.closing(cloud), contextlib.suppress(CloudError):  # an expected error, with what to do about it
        judge(call(cloud), seam)


@pytest.mark.parametrize("vendor", [LAMBDA, RUNPOD], ids=["lambda", "runpod"])
@examples(60)
@given(data=st.data())
def test_what_is_made_is_what_the_document_allows(vendor: Vendor, data: st.DataObject) -> None:
    document, text = DOCUMENTS[vendor], read(vendor)
    path, method, status = data.draw(st.sampled_from(answered(text)))
    schema = document.schema_of(text["paths"][path][method], status)
    assert schema is not None

    made = data.draw(document.valid(schema))

    Draft202012Validator({**schema, "components": text["components"]}).validate(made)


def answered(text: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the path, the method and the status of every answer of a document that has a body."""
    return [
        (path, method, status)
        for path, operations in text["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict)
        for status, response in operation["responses"].items()
        if "content" in response
    ]
