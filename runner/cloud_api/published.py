"""What a vendor's published description of its API says of the fields that our client reads: what has moved since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
from pydantic import BaseModel

from runner.cloud_api.environment import Published
from runner.cloud_api.network import NO_WAY_OUT
from runner.world import World

MOST_BYTES = 8 << 20
"""The largest of the files we know has a quarter of a mebibyte."""
TIMEOUT_S = 10.0
LONGEST_WORDS = 60
Json = Mapping[str, Any]


def what_moved(published: Published, world: World) -> list[str]:
    """Return a line for each difference between the vendor's file of today and what our client reads of it.

    Nothing is raised: a file that cannot be read is a line as well.

    Args:
        published: Where the file is, and what of it is read.
        world: The network.
    """
    try:
        document = json.loads(_fetch(published.url, world))
        return list(differences(published, document))
    except (httpx2.HTTPError, *NO_WAY_OUT, TypeError, AttributeError, KeyError) as err:
        return [f"{published.url} cannot be read: {_shown(err)}"]


def differences(published: Published, document: Json) -> Iterator[str]:
    """Yield a line for each difference.

    Args:
        published: What is read.
        document: The vendor's OpenAPI document.
    """
    version = document["info"]["version"]
    if version != published.version:
        yield f"its version is {_shown(version)}, and Douse was written for {published.version}"
    schemas = document["components"]["schemas"]
    for model, name in published.read():
        if name not in schemas:
            yield f"there is no schema {name} any more"
            continue
        yield from _of_schema(model, name, _whole(schemas[name], document), published.newer)


def _of_schema(model: type[BaseModel], name: str, schema: Json, newer: frozenset[str]) -> Iterator[str]:
    """Yield a line for each field that is gone, or no longer promised where our client cannot do without it."""
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    for key, field in fields.items():
        if key not in schema.get("properties", {}):
            if key not in newer:
                yield f"{name} has no field {key} any more"
        elif field.is_required() and key not in schema.get("required", []):
            yield f"{name} may lack its field {key}, without which Douse cannot read it"


def _whole(schema: Json, document: Json) -> dict[str, Any]:
    """Return a schema with what it refers to, and the parts of its ``allOf``, put together."""
    found: Any = schema
    while "$ref" in found:
        path, found = found["$ref"].removeprefix("#/").split("/"), document
        for name in path:
            found = found[name]
    parts = [_whole(part, document) for part in found.get("allOf", [])]
    merged = [*parts, found]
    return {
        "properties": {key: value for part in merged for key, value in part.get("properties", {}).items()},
        "required": [key for part in merged for key in part.get("required", [])],
    }


def _fetch(url: str, world: World) -> bytes:
    """Return the file; a vendor's edge refuses clients without a name."""
    headers = {"User-Agent": "douse", "Accept": "application/json"}
    with (
        httpx2.Client(
            headers=headers, timeout=TIMEOUT_S, follow_redirects=True, transport=world.http_transport()
        ) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        return body


def _shown(words: object) -> str:
    """Return words from outside so that they can be printed: short, on one line, without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(words))
    return plain[:LONGEST_WORDS]
