"""Read a YAML or JSON file into a pydantic model, with errors that name the key, the value and the line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from trainer.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str, ...]


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
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise ConfigError(
            f"config: {path}{_yaml_place(err)} is not valid YAML",
            details=str(err),
            resolution="correct the line; lists and mappings need equal indentation",
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


def validate(model: type[Model], source: SourceMapping, *, renamed: Mapping[str, Mapping[str, str]]) -> Model:
    """Build ``model`` from plain data, older spellings included.

    Args:
        model: A pydantic model whose fields are sections.
        source: What was read.
        renamed: Older spellings by section; see ``trainer.config.RENAMED_KEYS``.

    Raises:
        ConfigError: On the first refused key, type or combination; the rest stands in ``details``.
    """
    values = {
        section: _with_new_spellings(section, keys, renamed.get(section, {}), source)
        for section, keys in source.values.items()
    }
    try:
        return model.model_validate(values)
    except ValidationError as err:
        problems = [_describe(model, dict(problem), source) for problem in err.errors()]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(
            f"config: {problems[0]}{more}",
            details="\n".join(problems),
            resolution="correct the file; every key is described in docs/run-file.md",
        ) from err


def _with_new_spellings(section: str, keys: Any, renamed: Mapping[str, str], source: SourceMapping) -> Any:
    if not isinstance(keys, dict):
        return {} if keys is None else keys
    result: dict[str, Any] = {}
    for key, value in keys.items():
        new_key = renamed.get(key, key)
        if new_key in result:
            raise ConfigError(
                f"config: {source.where((section, key))} {section}.{new_key} is given in two spellings",
                resolution=f"keep `{new_key}`",
            )
        result[new_key] = value
    return result


def _describe(model: type[BaseModel], problem: dict[str, Any], source: SourceMapping) -> str:
    path = tuple(str(part) for part in problem["loc"] if not str(part).startswith(("literal", "list[", "function")))
    where, dotted = source.where(path if path in source.lines else path[:2]), ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{where} {dotted} is not a known key{_suggestion(model, path)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not path:
        return f"{where} {message}"
    return f"{where} {dotted} is {problem['input']!r}: {message[:1].lower()}{message[1:]}"


def _section_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """Return the class of a section; one that may be left out has it beside ``None``."""
    for name in path:
        annotation = model.model_fields[name].annotation
        choices = (annotation, *get_args(annotation))
        model = next(one for one in choices if isinstance(one, type) and issubclass(one, BaseModel))
    return model


def _suggestion(model: type[BaseModel], path: KeyPath) -> str:
    known = list(_section_at(model, path[:-1]).model_fields)
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}"
