"""Read a YAML or JSON file into a pydantic model, with errors that name the key, the value and the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from trainer.config.hints import Renamed, suggestion
from trainer.config.other_trainers import OtherTrainer, counterparts, keys_of, recognise
from trainer.config.yaml_text import parse_yaml
from trainer.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str, ...]
MOST_CHARACTERS = 80
"""As much of a refused value as is shown."""


@dataclass(frozen=True)
class SourceMapping:
    """Plain data of a file and where each key stands in it.

    Attributes:
        name: File name as the user gave it.
        values: The data.
        lines: Line number of each key, from 1.
    """

    name: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """Return ``file:line`` for a key, or the file alone for a key that is not there."""
        line = self.lines.get(path)
        return self.name if line is None else f"{self.name}:{line}"


def read_mapping(path: Path) -> SourceMapping:
    """Read a YAML (or JSON) file whose top level is a mapping.

    Raises:
        ConfigError: If the file is missing, empty, broken, not a mapping, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise ConfigError(
            f"config: cannot read {path}: {err.strerror}", resolution="give an existing file with CONFIG=<file>"
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"config: {path} is not UTF-8 text", resolution="save the file as UTF-8") from err
    try:
        node, values = parse_yaml(text)
    except yaml.YAMLError as err:
        raise ConfigError(
            f"config: {path}{_yaml_place(err)} is not valid YAML{_yaml_words(err)}",
            details=str(err),
            resolution="correct the line; lists and mappings need equal indentation, made of spaces",
        ) from err
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        found = "is empty" if values is None else f"holds a {type(values).__name__}"
        raise ConfigError(
            f"config: {path} {found}, not sections of keys", resolution="start from examples/quickstart.yml"
        )
    lines: dict[KeyPath, int] = {}
    _collect_lines(node, (), lines, str(path))
    return SourceMapping(str(path), values, lines)


def _yaml_place(err: yaml.YAMLError) -> str:
    mark = getattr(err, "problem_mark", None)
    return "" if mark is None else f":{mark.line + 1}"


def _yaml_words(err: yaml.YAMLError) -> str:
    """Return what is wrong, as far as PyYAML says; of a letter that no YAML may have, its number."""
    if isinstance(err, yaml.reader.ReaderError):
        number = ord(err.character) if isinstance(err.character, str) else err.character
        return f": it holds the character U+{number:04X}"
    problem = getattr(err, "problem", None)
    return f": {problem}" if problem else ""


def _collect_lines(node: yaml.MappingNode, prefix: KeyPath, lines: dict[KeyPath, int], name: str) -> None:
    for key_node, value_node in node.value:
        path = (*prefix, str(key_node.value))
        line = key_node.start_mark.line + 1
        if path in lines:
            raise ConfigError(
                f"config: {name}:{line} {'.'.join(path)} is given twice (first on line {lines[path]})",
                resolution="delete one of the two",
            )
        lines[path] = line
        if isinstance(value_node, yaml.MappingNode):
            _collect_lines(value_node, path, lines, name)


def validate(model: type[Model], source: SourceMapping, *, renamed: Renamed) -> Model:
    """Build ``model`` from plain data, older spellings included.

    Args:
        model: A pydantic model whose fields are sections.
        source: What was read.
        renamed: Older spellings by section; see ``trainer.config.recipe.RENAMED_KEYS``.

    Raises:
        ConfigError: If a key, type or combination is refused: the message has the first, ``lines`` the others.
    """
    values = {
        str(section): _with_new_spellings(str(section), keys, renamed.get(str(section), {}), source)
        for section, keys in source.values.items()
    }
    try:
        return model.model_validate(values)
    except ValidationError as err:
        other = recognise(source.values)
        if other is not None:
            raise _for_another(other, source) from err
        found = sorted(err.errors(), key=lambda problem: _line(dict(problem), source))
        problems = [_describe(model, dict(problem), source, renamed) for problem in found]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(
            f"config: {problems[0]}{more}",
            details="\n".join(problems),
            lines=problems[1:],
            resolution="correct the file; every key is described in docs/run-file.md",
        ) from err


def _for_another(other: OtherTrainer, source: SourceMapping) -> ConfigError:
    """Return the error for a file that was written for another trainer, with what its keys are here."""
    lines = counterparts(other, source.values)
    known = sum(bool(other.keys.get(key)) for key in keys_of(source.values))
    return ConfigError(
        f"config: {source.name} is a file for {other.name}: {known} of its {len(lines)} keys have a counterpart here",
        details="\n".join(lines),
        lines=lines,
        resolution="write these keys into sections, as in examples/quickstart.yml; see docs/other-trainers.md",
    )


def _with_new_spellings(section: str, keys: Any, renamed: Mapping[str, str], source: SourceMapping) -> Any:
    if not isinstance(keys, dict):
        return {} if keys is None else keys
    result: dict[str, Any] = {}
    for name, value in keys.items():
        key = str(name)  # YAML takes a bare 1, no or 2026-01-01 for something else
        new_key = renamed.get(key, key)
        if new_key in result:
            raise ConfigError(
                f"config: {source.where((section, key))} {section}.{new_key} is given in two spellings",
                resolution=f"keep `{new_key}`",
            )
        result[new_key] = value
    return result


def _path(problem: dict[str, Any]) -> KeyPath:
    """Return where a problem is; pydantic also names the kind of value that it tried."""
    return tuple(str(part) for part in problem["loc"] if not str(part).startswith(("literal", "list[", "function")))


def _line(problem: dict[str, Any], source: SourceMapping) -> int:
    path = _path(problem)
    return source.lines.get(path, source.lines.get(path[:2], 0))


def _describe(model: type[BaseModel], problem: dict[str, Any], source: SourceMapping, renamed: Renamed) -> str:
    path = _path(problem)
    where, dotted = source.where(path if path in source.lines else path[:2]), ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{where} {dotted} is not a known key{suggestion(model, path, renamed)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "model_type":
        message = "give the keys of this section below it"
    if not path:
        return f"{where} {message}"
    return f"{where} {dotted} is {_shown(problem['input'])}: {message[:1].lower()}{message[1:]}"


def _shown(value: object) -> str:
    """Return a refused value as it is shown: its beginning; Python writes out no number of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
