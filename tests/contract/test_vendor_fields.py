"""The trimmed copies of the vendors' OpenAPI files: they say what the whole ones say, and none of their sentences."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.vendor_fields.trim import LAMBDA, RUNPOD, VENDORS, Vendor, read, trim

DAY = "2026-11-28"
SENTENCE = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")
each_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)


@each_vendor
def test_a_trimmed_copy_says_what_the_whole_file_says(vendor: Vendor) -> None:
    if not vendor.whole_path.exists():
        pytest.skip("the vendors' whole OpenAPI files are not beside this checkout (../shared/specs)")
    trimmed = read(vendor)

    again = trim(vendor, json.loads(vendor.whole_path.read_text()), trimmed["info"]["x-trimmed-on"])

    assert again == trimmed, "run `python -m tests.contract.vendor_fields.trim` and look at the difference"


@each_vendor
def test_a_trimmed_copy_says_of_what_and_when_it_was_made(vendor: Vendor) -> None:
    info = read(vendor)["info"]

    assert info["x-trimmed-from"] == vendor.whole
    assert re.fullmatch(r"\d+\.\d+\.\d+", info["version"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", info["x-trimmed-on"])


@each_vendor
def test_a_trimmed_copy_holds_no_sentence_of_the_vendors(vendor: Vendor) -> None:
    assert [text for text in texts(read(vendor)) if SENTENCE.search(text)] == []


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from texts(part)


def small(vendor: Vendor) -> dict[str, Any]:
    """Return a made-up whole file: prose everywhere, and more than anybody needs."""
    prose = {"description": "This is what it is for.", "summary": "Do the thing now"}
    answer = {"schema": {"$ref": "#/components/schemas/Answer"}}
    example = {"value": {"id": "a1", "detail": "It did not work out"}, **prose}
    operation = {
        **prose,
        "operationId": "doIt",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", **prose}, **prose}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object", **prose}}}},
        "responses": {"200": {**prose, "content": {"application/json": {**answer, "examples": {"one": example}}}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Somebody's API", "version": "1.2.3"},
        "security": [{"bearerAuth": []}],
        "paths": {path: {"post": operation} for path in (*vendor.paths, "/not/wanted")},
        "components": {
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", **prose}},
            "schemas": {
                "Answer": {
                    "type": "object",
                    "properties": {"state": {"$ref": "#/components/schemas/State"}, "description": {"type": "string"}},
                    "required": ["state"],
                    **prose,
                },
                "State": {"type": "string", "enum": ["on", "off"], **prose},
                "Unused": {"type": "string"},
                f"{vendor.also}Gone": {"properties": {"code": {"const": "gone", **prose}}},
            },
        },
    }


@each_vendor
def test_names_types_and_what_is_required_stay_and_sentences_go(vendor: Vendor) -> None:
    found = trim(vendor, small(vendor), DAY)

    assert set(found["paths"]) == set(vendor.paths)
    assert found["paths"][vendor.paths[0]]["post"] == {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {
                "description": "",
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Answer"},
                        "examples": {"1": {"value": {"id": "a1", "detail": ""}}},
                    }
                },
            }
        },
    }
    assert found["components"] == {
        "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            f"{vendor.also}Gone": {"properties": {"code": {"const": "gone"}}},
            "Answer": {
                "type": "object",
                "properties": {"state": {"$ref": "#/components/schemas/State"}, "description": {"type": "string"}},
                "required": ["state"],
            },
            "State": {"type": "string", "enum": ["on", "off"]},
        },
    }


def _other_enum(whole: dict[str, Any]) -> None:
    whole["components"]["schemas"]["State"]["enum"].append("lost")


def _no_longer_required(whole: dict[str, Any]) -> None:
    whole["components"]["schemas"]["Answer"]["required"] = []


def _other_error(whole: dict[str, Any]) -> None:
    whole["components"]["schemas"][f"{LAMBDA.also}New"] = {"type": "object"}


def _other_status(whole: dict[str, Any]) -> None:
    whole["paths"][LAMBDA.paths[0]]["post"]["responses"]["409"] = {"description": "No"}


@pytest.mark.parametrize("change", [_other_enum, _no_longer_required, _other_error, _other_status])
def test_a_change_of_the_vendors_would_be_seen(change: Any) -> None:
    whole = small(LAMBDA)
    changed = copy.deepcopy(whole)
    change(changed)

    assert trim(LAMBDA, changed, DAY) != trim(LAMBDA, whole, DAY)


def test_a_change_of_wording_would_not() -> None:
    whole = small(RUNPOD)
    changed = copy.deepcopy(whole)
    changed["components"]["schemas"]["State"]["description"] = "Reworded for you"

    assert trim(RUNPOD, changed, DAY) == trim(RUNPOD, whole, DAY)
