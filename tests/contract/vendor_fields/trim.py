"""What the project relies on of the vendors' OpenAPI files: names, types and what is required, and none of their prose.

``python -m tests.contract.vendor_fields.trim`` writes ``lambda.json`` and ``runpod.json`` anew from the whole files in
``../shared/specs``. The contract tests read the trimmed files, which are always there; where the whole files are there
too, a test holds the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
WHOLE = Path(__file__).resolve().parents[3].parent / "shared" / "specs"
Json = dict[str, Any]

LAMBDA_PATHS = (
    "/api/v1/file-systems",
    "/api/v1/filesystems",
    "/api/v1/filesystems/{id}",
    "/api/v1/images",
    "/api/v1/instance-operations/launch",
    "/api/v1/instance-operations/restart",
    "/api/v1/instance-operations/terminate",
    "/api/v1/instance-types",
    "/api/v1/instances",
    "/api/v1/instances/{id}",
    "/api/v1/regions",
    "/api/v1/ssh-keys",
    "/api/v1/ssh-keys/{id}",
)
RUNPOD_PATHS = (
    "/v2/account/ssh-keys",
    "/v2/billing/pods",
    "/v2/catalog/datacenters",
    "/v2/catalog/gpus",
    "/v2/catalog/gpus/{id}",
    "/v2/network-volumes",
    "/v2/network-volumes/{id}",
    "/v2/pods",
    "/v2/pods/{id}",
    "/v2/pods/{id}/action",
)
SCHEMA_WORDS = frozenset(
    ["$ref", "type", "format", "const", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
     "maxItems", "minProperties", "uniqueItems", "required", "dependentRequired", "unevaluatedProperties"]
)  # fmt: skip
"""What says something of a value by itself; everything that people read stands elsewhere."""
MAPS_OF_SCHEMAS = frozenset({"properties"})
LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf"})
SCHEMAS = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
PROSE = frozenset({"title", "detail", "message", "suggestion"})
"""Fields of an answer that hold sentences: an example keeps that they are there, and not what they say."""


@dataclass(frozen=True)
class Vendor:
    """A vendor's file and the part of it that matters here.

    Attributes:
        name: Name of the trimmed file.
        whole: Name of the whole file.
        paths: The paths that our clients, or the emulated cloud's scenarios, ask for.
        also: Beginning of the names of schemas that no path need refer to.
    """

    name: str
    whole: str
    paths: tuple[str, ...]
    also: str

    @property
    def trimmed_path(self) -> Path:
        """Where the trimmed file lies."""
        return FOLDER / f"{self.name}.json"

    @property
    def whole_path(self) -> Path:
        """Where the whole file lies, if it is beside this checkout."""
        return WHOLE / self.whole


LAMBDA = Vendor("lambda", "lambda-cloud-1.10.0.openapi.json", LAMBDA_PATHS, "ApiError")
RUNPOD = Vendor("runpod", "runpod-v2.openapi.json", RUNPOD_PATHS, "ErrorResponse")
VENDORS = (LAMBDA, RUNPOD)


def read(vendor: Vendor) -> Json:
    """Return the trimmed document."""
    found: Json = json.loads(vendor.trimmed_path.read_text())
    return found


def trim(vendor: Vendor, whole: Mapping[str, Any], trimmed_on: str) -> Json:
    """Return an OpenAPI document that holds only what is relied on.

    Args:
        vendor: Whose document it is.
        whole: The vendor's own document.
        trimmed_on: The day, as ``2026-11-28``.
    """
    paths = {path: _path(whole["paths"][path]) for path in vendor.paths}
    document: Json = {
        "openapi": whole["openapi"],
        "info": {
            "title": vendor.name,
            "version": whole["info"]["version"],
            "x-trimmed-from": vendor.whole,
            "x-trimmed-on": trimmed_on,
        },
        "security": whole["security"],
        "paths": paths,
        "components": {
            "securitySchemes": {
                name: {word: scheme[word] for word in ("type", "scheme")}
                for name, scheme in whole["components"]["securitySchemes"].items()
            }
        },
    }
    _add_components(document, vendor, whole["components"])
    return document


def _add_components(document: Json, vendor: Vendor, known: Mapping[str, Any]) -> None:
    """Add every component that something refers to, and the vendor's answers and errors even where nothing does."""
    trimmers = {"parameters": _parameter, "responses": _response, "headers": _header, "schemas": _schema}
    wanted = {("responses", name) for name in known.get("responses", ())}
    wanted |= {("schemas", name) for name in known["schemas"] if name.startswith(vendor.also)}
    wanted |= set(_references(document["paths"]))
    done: set[tuple[str, str]] = set()
    while rest := sorted(wanted - done):
        for kind, name in rest:
            component = trimmers[kind](known[kind][name])
            document["components"].setdefault(kind, {})[name] = component
            wanted |= set(_references(component))
            done.add((kind, name))
    for kind in trimmers.keys() & document["components"].keys():
        document["components"][kind] = dict(sorted(document["components"][kind].items()))


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            _, _, kind, name = value["$ref"].split("/")
            yield kind, name
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _path(operations: Mapping[str, Any]) -> Json:
    """Return the operations of a path; what is common to them is a list of parameters."""
    return {
        method: [_parameter(one) for one in operation] if method == "parameters" else _operation(operation)
        for method, operation in operations.items()
    }


def _operation(operation: Mapping[str, Any]) -> Json:
    found: Json = {}
    if "security" in operation:
        found["security"] = operation["security"]
    if "parameters" in operation:
        found["parameters"] = [_parameter(one) for one in operation["parameters"]]
    if "requestBody" in operation:
        body = operation["requestBody"]
        found["requestBody"] = _only(body, "required") | {"content": _content(body["content"], has_examples=False)}
    found["responses"] = {status: _response(response) for status, response in operation["responses"].items()}
    return found


def _parameter(parameter: Mapping[str, Any]) -> Json:
    if "$ref" in parameter:
        return dict(parameter)
    return _only(parameter, "name", "in", "required", "style", "explode") | {"schema": _schema(parameter["schema"])}


def _header(header: Mapping[str, Any]) -> Json:
    return dict(header) if "$ref" in header else {"schema": _schema(header["schema"])}


def _response(response: Mapping[str, Any]) -> Json:
    if "$ref" in response:
        return dict(response)
    found: Json = {"description": ""}  # OpenAPI wants one
    if "content" in response:
        found["content"] = _content(response["content"], has_examples=True)
    return found


def _content(content: Mapping[str, Any], *, has_examples: bool) -> Json:
    """Return the schemas of what is sent, and of the answers that the document spells out, the values."""
    found: Json = {}
    for media, what in content.items():
        found[media] = {"schema": _schema(what["schema"])}
        values = [_without_prose(one["value"]) for one in what.get("examples", {}).values()] if has_examples else []
        if values:
            found[media]["examples"] = {str(number): {"value": value} for number, value in enumerate(values, 1)}
    return found


def _schema(schema: Any) -> Any:
    if isinstance(schema, bool):
        return schema
    found: Json = {}
    for word, value in schema.items():
        if word in SCHEMA_WORDS:
            found[word] = value
        elif word in MAPS_OF_SCHEMAS:
            found[word] = {name: _schema(part) for name, part in value.items()}
        elif word in LISTS_OF_SCHEMAS:
            found[word] = [_schema(part) for part in value]
        elif word in SCHEMAS:
            found[word] = _schema(value)
    return found


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "" if name in PROSE else _without_prose(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_prose(part) for part in value]
    return value


def _only(value: Mapping[str, Any], *names: str) -> Json:
    return {name: value[name] for name in names if name in value}


def main() -> None:
    """Write the trimmed files; one that would say the same keeps its day."""
    today = datetime.now(UTC).date().isoformat()
    for vendor in VENDORS:
        whole = json.loads(vendor.whole_path.read_text())
        if vendor.trimmed_path.exists():
            before = read(vendor)
            if before == trim(vendor, whole, before["info"]["x-trimmed-on"]):
                continue
        vendor.trimmed_path.write_text(json.dumps(trim(vendor, whole, today), indent=1) + "\n")


if __name__ == "__main__":
    main()
