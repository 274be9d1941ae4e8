"""The run file's page and schema: as committed, complete, and true of the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runner.cli import run_file_docs as config_docs
from runner.clouds.own_sections import run_file_class
from runner.run.run_file import json_schema
from trainer.config.recipe import RENAMED_KEYS

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


@pytest.mark.parametrize(
    ("path", "make_text"),
    [
        (config_docs.PAGE, config_docs.reference_page),
        (config_docs.SCHEMA, config_docs.schema_text),
        (config_docs.OTHERS, config_docs.others_page),
    ],
    ids=["page", "schema", "others"],
)
def test_the_committed_document_is_current(path: Path, make_text: Any) -> None:
    committed = path.read_text(encoding="utf-8")

    assert committed == make_text(), f"{path.name} is not what the classes say now: run `{config_docs.RENEW}`"


def test_the_command_writes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_docs, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(config_docs, "SCHEMA", tmp_path / "schema.json")
    monkeypatch.setattr(config_docs, "OTHERS", tmp_path / "others.md")

    config_docs.main()

    assert (tmp_path / "page.md").read_text(encoding="utf-8") == config_docs.reference_page()
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == config_docs.full_schema()
    assert "| `cutoff_len` | `data.max_length` |" in (tmp_path / "others.md").read_text(encoding="utf-8")


def test_the_page_has_a_row_for_every_key_and_names_every_older_spelling() -> None:
    tables = {part.split("`")[0]: part for part in config_docs.reference_page().split("\n## `")[1:]}

    for name, values in run_file_class()().model_dump().items():
        keys = [line.split("`")[1] for line in tables[name].splitlines() if line.startswith("| `")]
        assert keys == list(values)
        for old, new in RENAMED_KEYS.get(name, {}).items():
            assert f"`{old}` for `{new}`" in tables[name]


def test_keys_that_one_cloud_alone_has_follow_their_section() -> None:
    page = config_docs.reference_page()

    assert "| `aws` | section of its own or `null` | `null` | What only AWS has;" in page
    assert page.index("## `compute`") < page.index("## `compute.aws`") < page.index("## `budget`")
    assert "| `tags` | mapping of names to text | `{}` | Tags of your own" in page


def test_no_row_of_the_page_is_broken_by_a_bar_in_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = json_schema(run_file_class())
    schema["$defs"]["StoreSection"]["properties"]["url"]["anyOf"][0]["pattern"] = "^(file|s3)://"
    monkeypatch.setattr(config_docs, "json_schema", lambda _: schema)

    row = next(line for line in config_docs.reference_page().splitlines() if line.startswith("| `url`"))

    assert row.startswith("| `url` | text like `^(file\\|s3)://` or `null` | `null` | Where each run gets ")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"type": "boolean"}, "`true`, `false`"),
        ({"type": "integer", "minimum": 1, "maximum": 64}, "whole number ≥ 1, ≤ 64"),
        ({"type": "integer", "exclusiveMaximum": 2**32}, "whole number < 4294967296"),
        ({"type": "number", "exclusiveMinimum": 0.0, "maximum": 0.5}, "number > 0, ≤ 0.5"),
        ({"type": "string", "minLength": 1}, "text, not empty"),
        ({"type": "string", "pattern": "^a$"}, "text like `^a$`"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"enum": ["epoch", "no"]}, '`epoch`, `"no"`'),
        ({"anyOf": [{"const": "all-linear"}, {"type": "null"}]}, "`all-linear` or `null`"),
    ],
)
def test_a_type_is_reported_in_words(facts: dict[str, Any], text: str) -> None:
    assert config_docs.value_text(facts) == text


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_an_editor_finds_no_fault_with_the_examples(path: Path) -> None:
    schema = json.loads(config_docs.SCHEMA.read_text(encoding="utf-8"))
    values = yaml.safe_load(path.read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)

    with pytest.raises(jsonschema.ValidationError, match="max_lenght"):
        jsonschema.validate({**values, "data": {"max_lenght": 8}}, schema)
