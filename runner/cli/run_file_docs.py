"""The run file's documents, made from its own classes: ``python -m runner.cli.run_file_docs`` writes both again."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import yaml

from runner.clouds.own_sections import run_file_class
from runner.clouds.registry import CLOUDS
from runner.run.run_dir import PROJECT
from runner.run.run_file import json_schema
from trainer.config.other_trainers import OTHER_TRAINERS, OtherTrainer
from trainer.config.recipe import RENAMED_KEYS

PAGE = PROJECT / "docs" / "run-file.md"
SCHEMA = PROJECT / "docs" / "run-file.schema.json"
OTHERS = PROJECT / "docs" / "other-trainers.md"
RENEW = "make docs"

HEAD = f"""# The run file

One YAML file says what to train, and where. Every section and every key may be left out; its default then applies. A
key that is not known is refused, with the nearest name; so is a value of the wrong type or out of range. All this is
checked before anything is installed.

This page and `{SCHEMA.name}` are made from the classes that read the file, by `{RENEW}`. Do not edit them.

## Values from the command line

`make train SET="training.max_steps=8 run.name=short"` changes values for one run; they are read as YAML. `CONFIG=`
names another run file, `DATA=<folder>` puts `train.jsonl` and `eval.jsonl` of a folder into `data`, `ENV=` and
`HOST=` set `compute.env` and `compute.host`. What a run was really made with, every default written out, is
`config.json` in its folder.

## Relative paths

A relative path starts at **the folder of the run file**, wherever you type the command, and `~` is your home folder.
That holds for `data.train_path`, `data.eval_path`, `data.chat_template_path`, `compute.identity_file` and
`store.ca_file`, also when `SET=` gives them. `model.base_model` is a path when it begins with `/`, `./`, `../` or `~`,
ends in `.gguf`, or when there is a file or folder of that name beside the run file; otherwise it is a name on the Hub.
`CONFIG=` and `DATA=` start at the folder you are in, as in any command, and so does `SET=` of `make resume`, which has
no run file any more. `compute.prefix` is a folder on the machine that trains: give it whole, or from `~`, the home
folder there.

## In an editor

`{SCHEMA.name}` is a JSON Schema. An editor that reads one (VS Code with the YAML extension, JetBrains, Neovim and
Emacs with yaml-language-server) completes keys, shows what they mean and marks errors. Name it in the first line of
the run file, by its path from there:

```yaml
# yaml-language-server: $schema=../docs/{SCHEMA.name}
```

The schema has the keys' own names. An older spelling works, but an editor will mark it."""

OTHERS_HEAD = f"""# From another trainer

A run file that was written for {{names}} is recognised, and the error has a line for each of its
keys. The tables below say which key here does the same; a dash stands where there is none. Douse's keys stand in
sections: `training.max_steps` is `max_steps` in the section `training`. What each means is in
[the run file's page](run-file.md).

This page is made from the tables that recognise the files, by `{RENEW}`. Do not edit it.
"""


def main() -> None:
    """Write the documents."""
    PAGE.write_text(reference_page(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    OTHERS.write_text(others_page(), encoding="utf-8")


def others_page() -> str:
    """Return the text of ``docs/other-trainers.md``: which keys of other trainers have a counterpart here."""
    names = ", ".join(trainer.name for trainer in OTHER_TRAINERS[:-1]) + f" or {OTHER_TRAINERS[-1].name}"
    return OTHERS_HEAD.format(names=names) + "".join(_counterparts(trainer) for trainer in OTHER_TRAINERS)


def _counterparts(trainer: OtherTrainer) -> str:
    rows = "".join(f"| `{key}` | {_counterpart(here)} |\n" for key, here in trainer.keys.items())
    return f"\n## {trainer.name}\n\n| its key | here |\n|---|---|\n{rows}"


def _counterpart(here: str) -> str:
    key, _, remark = here.partition(" ")
    return f"`{key}` {remark}".rstrip() if key else "–"


def schema_text() -> str:
    """Return the text of ``docs/run-file.schema.json``."""
    return json.dumps(full_schema(), indent=2, ensure_ascii=False) + "\n"


def full_schema() -> dict[str, Any]:
    """Return the JSON Schema of the run file with what each cloud says of its keys."""
    schema = json_schema(run_file_class())
    words: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    words["compute", "env"] = [f"Clouds: {', '.join(f'``{name}``' for name in CLOUDS)}."]
    for record in CLOUDS.values():
        for dotted, meaning in record.run_file_words.items():
            section, key = dotted.split(".")
            words[section, key].append(f"{record.title}: {meaning}.")
    for (name, key), said in words.items():
        facts = _section(schema, name)["properties"][key]
        facts["description"] = " ".join([facts["description"], *said])
    return schema


def reference_page() -> str:
    """Return the text of ``docs/run-file.md``: every key with its type, its default and its meaning."""
    schema = full_schema()
    parts = [HEAD]
    for name in schema["properties"]:
        section = _section(schema, name)
        parts += _described(name, section)
        for key, facts in section["properties"].items():
            own = next((choice["$ref"] for choice in facts.get("anyOf", ()) if "$ref" in choice), None)
            if own is not None:
                parts += _described(f"{name}.{key}", _at(schema, own))
        older = [f"`{old}` for `{new}`" for old, new in RENAMED_KEYS.get(name, {}).items()]
        if older:
            parts.append(f"Also read: {', '.join(older)}.")
    return "\n\n".join(parts) + "\n"


def _described(name: str, section: Mapping[str, Any]) -> list[str]:
    """Return a section's heading, what it is, and the table of its keys."""
    rows = "".join(f"\n{_row(key, facts)}" for key, facts in section["properties"].items())
    return [f"## `{name}`", section["description"], f"| key | value | default | meaning |\n|---|---|---|---|{rows}"]


def _section(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return _at(schema, schema["properties"][name]["$ref"])


def _at(schema: Mapping[str, Any], reference: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]]
    return found


def _row(key: str, facts: Mapping[str, Any]) -> str:
    cells = (f"`{key}`", value_text(facts), f"`{_yaml(facts['default'])}`", _prose(facts["description"]))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def value_text(facts: Mapping[str, Any]) -> str:
    """Return in words what a property of the schema may be."""
    if "anyOf" in facts:
        return " or ".join(value_text(choice) for choice in facts["anyOf"])
    if "$ref" in facts:
        return "section of its own"
    if "const" in facts:
        return f"`{_yaml(facts['const'])}`"
    if "enum" in facts:
        return ", ".join(f"`{_yaml(value)}`" for value in facts["enum"])
    if facts["type"] == "array":
        return f"list of {value_text(facts['items'])}"
    if facts["type"] == "object":
        return f"mapping of names to {value_text(facts['additionalProperties'])}"
    words = {"boolean": "`true`, `false`", "null": "`null`", "string": "text", "integer": "whole number"}
    return words.get(facts["type"], str(facts["type"])) + _limits(facts)


def _limits(facts: Mapping[str, Any]) -> str:
    """Return the limits of a number or a text, to be put behind its type."""
    if "pattern" in facts:
        return f" like `{facts['pattern']}`"
    if facts.get("minLength") == 1:
        return ", not empty"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_number(facts[key])}" for key, sign in signs.items() if key in facts]
    return f" {', '.join(limits)}" if limits else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _yaml(value: Any) -> str:
    """Return a value as one would write it: text in quotes only where YAML takes it for something else (``no``)."""
    return value if isinstance(value, str) and yaml.safe_load(value) == value else json.dumps(value)


def _prose(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`"))


if __name__ == "__main__":
    main()
