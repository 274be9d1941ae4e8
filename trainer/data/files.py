"""Read a JSON Lines file of samples: three formats, detected from the content, every refusal with file and line.

Formats: ``messages`` (also ``conversations`` with ``from``/``value``), ``prompt_completion`` and ``alpaca``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.errors import DataError

Format = Literal["messages", "prompt_completion", "alpaca"]
Turn = tuple[str, str]

FORMAT_HELP = (
    'write one JSON object a line: {"messages": [{"role": "user", "content": "…"}, '
    '{"role": "assistant", "content": "…"}]}'
)
_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant"}
_LAYOUTS: dict[Format, tuple[frozenset[str], ...]] = {
    "messages": (frozenset({"messages"}), frozenset({"conversations"})),
    "alpaca": (frozenset({"instruction", "output"}),),
    "prompt_completion": (frozenset({"prompt", "completion"}),),
}


@dataclass(frozen=True)
class RawSample:
    """One sample of a file: its line, from 1, and its turns as (role, content)."""

    line: int
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class SampleFile:
    """All samples of one file, their format and the file's SHA-256."""

    path: Path
    format: Format
    sha256: str
    samples: tuple[RawSample, ...]


def read_samples(path: Path, key: str, wanted: str = "auto") -> SampleFile:
    """Read and check every line of a file.

    Args:
        path: The file.
        key: Recipe key that named it, for the hints.
        wanted: A format's name, or ``auto``: then the first sample decides for the whole file.

    Raises:
        DataError: On the first line that cannot be used, or if the file is missing, empty or a folder.
    """
    content = _read_bytes(path, key)
    found: Format | None = None
    samples: list[RawSample] = []
    for number, line in _lines(content):
        values = _parse(path, number, line)
        layout = _format_of(path, number, values, wanted)
        if found is not None and layout != found:
            raise DataError(
                f"data: {path}:{number} is in the format {layout}, but the lines before are {found}",
                resolution="keep one format in a file",
            )
        found = layout
        samples.append(RawSample(number, _checked(path, number, _turns(path, number, values, layout))))
    if found is None:
        raise DataError(f"data: {path} holds no sample", resolution=FORMAT_HELP)
    return SampleFile(path, found, hashlib.sha256(content).hexdigest(), tuple(samples))


def _read_bytes(path: Path, key: str) -> bytes:
    if path.is_dir():
        raise DataError(
            f"data: {path} is a folder, not a file",
            resolution=f"set {key} to a file in it, such as {path / 'train.jsonl'}",
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as err:
        raise DataError(f"data: {path} does not exist", resolution=f"set {key} to an existing .jsonl file") from err
    except OSError as err:
        raise DataError(
            f"data: cannot read {path}: {err.strerror}", resolution=f"make the file of {key} readable"
        ) from err


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line that is not blank; only a line feed ends a line."""
    content = content.removeprefix(b"\xef\xbb\xbf")  # what some editors put in front of UTF-8
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as err:
        raise DataError(
            f"data: {path}:{number} is not UTF-8 text (byte {err.start + 1} of the line)",
            resolution="save the file as UTF-8",
        ) from err
    except json.JSONDecodeError as err:
        hint = "put each sample on one line as a whole JSON object"
        raise DataError(
            f"data: {path}:{number} is not valid JSON at column {err.colno}: {err.msg}", resolution=hint
        ) from err
    except RecursionError as err:
        raise DataError(f"data: {path}:{number} is nested too deeply", resolution=FORMAT_HELP) from err
    if not isinstance(value, dict):
        raise DataError(f"data: {path}:{number} is a JSON {_json_type(value)}, not an object", resolution=FORMAT_HELP)
    return value


def _format_of(path: Path, number: int, values: dict[str, Any], wanted: str) -> Format:
    for layout, key_sets in _LAYOUTS.items():
        if wanted in ("auto", layout) and any(keys <= values.keys() for keys in key_sets):
            return layout
    keys = ", ".join(list(values)[:8]) or "none"
    expected = "any known format" if wanted == "auto" else f"the format {wanted}"
    raise DataError(
        f"data: {path}:{number} does not fit {expected} (keys: {keys})",
        details="messages: messages | conversations; prompt_completion: prompt, completion; "
        "alpaca: instruction, [input], output",
        resolution=FORMAT_HELP if wanted == "auto" else "set `format: auto`, or correct the line",
    )


def _turns(path: Path, number: int, values: dict[str, Any], layout: Format) -> list[tuple[Any, Any]]:
    if values.get("tools"):
        raise _refused(
            path, number, "`tools` are not supported", "leave the key out, or put the tools in the system turn"
        )
    if layout == "alpaca":
        question, extra = values["instruction"], values.get("input")
        if isinstance(question, str) and isinstance(extra, str) and extra.strip():
            question = f"{question}\n\n{extra}"
        system = [("system", values["system"])] if values.get("system") else []
        return [*system, ("user", question), ("assistant", values["output"])]
    if layout == "prompt_completion":
        prompt, completion = values["prompt"], values["completion"]
        if isinstance(prompt, list) and isinstance(completion, list):
            return _chat(path, number, [*prompt, *completion])
        return [("user", prompt), ("assistant", completion)]
    return _chat(path, number, values["messages"] if "messages" in values else values["conversations"])


def _chat(path: Path, number: int, messages: Any) -> list[tuple[Any, Any]]:
    if not isinstance(messages, list):
        raise _refused(path, number, f"messages is a JSON {_json_type(messages)}, not a list", FORMAT_HELP)
    turns = []
    for position, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise _refused(path, number, f"turn {position} is a JSON {_json_type(message)}, not an object", FORMAT_HELP)
        role_key, content_key = ("from", "value") if "from" in message else ("role", "content")
        unknown = [key for key, value in message.items() if key not in (role_key, content_key, "name") and value]
        if unknown:
            raise _refused(
                path, number, f"turn {position} has a key that is not supported: {unknown[0]}", "leave the key out"
            )
        turns.append((message.get(role_key), message.get(content_key)))
    return turns


def _checked(path: Path, number: int, turns: list[tuple[Any, Any]]) -> tuple[Turn, ...]:
    """Return the turns with today's role names, if roles, order and contents are right."""
    result: list[Turn] = []
    for position, (role, content) in enumerate(turns, start=1):
        if not isinstance(role, str) or role not in _ROLES:
            raise _refused(
                path, number, f"turn {position} has the role {role!r}", "use the roles system, user and assistant"
            )
        result.append((_ROLES[role], _checked_content(path, number, position, content)))
    roles = [role for role, _ in result]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(spoken))]
    if "assistant" not in spoken:
        raise _refused(path, number, "has no assistant turn: nothing would be learned", FORMAT_HELP)
    if spoken != expected:
        wrong = next(index for index, role in enumerate(spoken) if role != expected[index])
        position = wrong + 1 + len(roles) - len(spoken)
        raise _refused(
            path,
            number,
            f"turn {position} is {spoken[wrong]}, where {expected[wrong]} must be",
            "begin with user (system only before it), then let user and assistant take turns",
        )
    if spoken[-1] != "assistant":
        raise _refused(path, number, "ends with a user turn without an answer", "end each sample with assistant")
    return tuple(result)


def _checked_content(path: Path, number: int, position: int, content: Any) -> str:
    if not isinstance(content, str):
        raise _refused(
            path, number, f"turn {position} has a JSON {_json_type(content)} as content, not text", "write it as text"
        )
    if not content.strip():
        raise _refused(path, number, f"turn {position} is empty", "fill the turn, or take the sample out")
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as err:
        raise _refused(
            path, number, f"turn {position} holds half of a surrogate pair (\\u{ord(content[err.start]):04x})",
            "write the character whole, or take it out",
        ) from err  # fmt: skip
    return content


def _refused(path: Path, number: int, problem: str, resolution: str) -> DataError:
    return DataError(f"data: {path}:{number} {problem}", resolution=resolution)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
