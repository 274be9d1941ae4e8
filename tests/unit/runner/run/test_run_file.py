"""The run file: sections of its own, options on top, schema for editors."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.run.run_file import (
    json_schema,
    load_run_file,
    parse_run_file,
    run_file_mapping,
    with_day,
    with_settings,
)
from trainer.config.paths import WeightedPath
from trainer.config.recipe import Recipe
from trainer.errors import ConfigError

ROLE = "arn:aws:iam::123456789012:role/douse-runs"
PRIVATE = "store: {url: s3://bucket/runs, endpoint_url: 'https://s3.example', ca_file: ca.pem}\n"


def load(tmp_path: Path, text: str, *overrides: str, **settings: object):  # type: ignore[no-untyped-def]
    path = tmp_path / "run.yml"
    path.write_text(text)
    return load_run_file(
        path, overrides=overrides, settings={key.replace("__", "."): settings[key] for key in settings}
    )


def test_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    run_file = load(tmp_path, "data: {train_path: a/train.jsonl}\ncompute: {identity_file: key}\n" + PRIVATE)

    assert run_file.data.train_path == str(tmp_path / "a" / "train.jsonl")
    assert run_file.compute.identity_file == str(tmp_path / "key")
    assert run_file.store.ca_file == str(tmp_path / "ca.pem")


def test_the_command_line_wins_and_values_are_read_as_yaml(tmp_path: Path) -> None:
    run_file = load(
        tmp_path, "training: {max_steps: 9, optimizer: adamw_torch}\n", "training.max_steps=3", "training.optim=auto"
    )

    assert (run_file.training.max_steps, run_file.training.optim) == (3, "auto")


def test_a_section_that_is_empty_or_missing_can_be_set(tmp_path: Path) -> None:
    run_file = load(tmp_path, "training:\n", "training.max_steps=3", budget__max_hours=2)

    assert (run_file.training.max_steps, run_file.budget.max_hours) == (3, 2.0)


@pytest.mark.parametrize("text", ["training.max_steps", "max_steps=3", "a.b.c.d=1", "a..c=1", ".x=1"])
def test_an_override_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"is not section\.key=value"):
        load(tmp_path, "run: {name: x}\n", text)


def test_an_override_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not valid YAML"):
        load(tmp_path, "run: {name: x}\n", "run.name=[")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compute: {evn: local}\n", "run.yml:1 compute.evn is not a known key; did you mean `env`?"),
        ("compute: {env: local, host: me@there}\n", "compute.host is me@there, but compute.env is local"),
        ("compute: {prefix: runs}\n", "compute.prefix is runs, not a whole path"),
        ("compute: {env: existing}\n", "compute.host is missing, and compute.env is existing"),
        ("budget: {max_hours: 0}\n", "run.yml:1 budget.max_hours is 0: input should be greater than 0"),
        ("budget: {max_hours: 721}\n", "run.yml:1 budget.max_hours is 721: input should be less than or equal to 720"),
        ("store: {url: ftp://bucket/x}\n", "run.yml:1 store.url is 'ftp://bucket/x': string should match pattern"),
        ("store: {url: s3://A_B/runs}\n", "run.yml:1 store.url is 's3://A_B/runs': string should match pattern"),
        ("store: {url: 's3://bucket/runs/*'}\n", "run.yml:1 store.url is 's3://bucket/runs/*': string should match"),
        ("store: {url: s3://bucket//runs}\n", "run.yml:1 store.url is 's3://bucket//runs': string should match"),
        ("store: {url: 'rclone://'}\n", "run.yml:1 store.url is 'rclone://': string should match pattern"),
        ("store: {url: 'rclone://-x/runs'}\n", "run.yml:1 store.url is 'rclone://-x/runs': string should match"),
        ("store: {url: 'rclone://x,y=z:/runs'}\n", "run.yml:1 store.url is 'rclone://x,y=z:/runs': string should"),
        ("store: {role_arn: me}\n", "run.yml:1 store.role_arn is 'me': string should match pattern"),
        ("store: {endpoint_url: here}\n", "run.yml:1 store.endpoint_url is 'here': string should match pattern"),
        (
            f"store: {{url: file:///srv, role_arn: {ROLE}}}\n",
            f"store.role_arn is {ROLE}, but store.url is file:///srv",
        ),
        ("store: {endpoint_url: 'http://x:9000'}\n", "store.endpoint_url is http://x:9000, but store.url is None"),
        ("store: {url: file:///srv, ca_file: a.pem}\n", "store.ca_file is a.pem, but store.url is file:///srv"),
        (
            "store: {url: s3://bucket, ca_file: a.pem, endpoint_url: 'http://x:9000'}\n",
            "store.ca_file is a.pem, but store.endpoint_url is http://x:9000: only https:// has certificates",
        ),
    ],
)
def test_each_rule_refuses_what_breaks_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    assert message in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://my.bucket-1/runs/",
        "s3://bucket/a=b/runs",
        "file:///a%20b",
        "rclone://drive",
        "rclone://My_drive-2/my runs/",
        "rclone://nas//srv/runs",
    ],
)
def test_a_store_is_a_folder_a_bucket_or_a_remote(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f"store: {{url: '{url}'}}\n").store.url == url


def test_a_bucket_may_have_a_role_and_an_address(tmp_path: Path) -> None:
    section = load(
        tmp_path, f"store: {{url: s3://bucket/runs, role_arn: {ROLE}, endpoint_url: 'https://s3.example/x'}}\n"
    ).store

    assert (section.role_arn, section.endpoint_url) == (ROLE, "https://s3.example/x")


def test_the_trainer_gets_its_ten_sections_and_no_more(tmp_path: Path) -> None:
    recipe = load(tmp_path, "run: {name: x}\n").recipe()

    assert type(recipe) is Recipe
    assert set(recipe.model_dump()) == set(Recipe.model_fields)


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    run_file = load(tmp_path, "run: {name: x}\ncompute: {env: existing, host: me@there}\n")

    assert parse_run_file(run_file_mapping(run_file), "config.json") == run_file
    assert with_settings(run_file, overrides=[], settings={}, folder=tmp_path) == run_file


def test_a_run_can_be_moved_to_another_machine(tmp_path: Path) -> None:
    run_file = load(tmp_path, "run: {name: x}\ncompute: {env: existing, host: me@there}\n")

    moved = with_settings(
        run_file,
        overrides=["training.max_steps=2"],
        settings={"compute.env": "local", "compute.host": None, "compute.identity_file": "keys/mine"},
        folder=tmp_path,
    )

    assert (moved.compute.env, moved.compute.host, moved.training.max_steps) == ("local", None, 2)
    assert moved.compute.identity_file == str(tmp_path / "keys" / "mine")


def test_the_schema_describes_every_key(tmp_path: Path) -> None:
    schema = json_schema()

    sections = {name: schema["$defs"][field["$ref"].rsplit("/", 1)[1]] for name, field in schema["properties"].items()}
    assert set(sections) == {*Recipe.model_fields, "compute", "budget", "store", "notices"}
    undescribed = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section["properties"].items()
        if not value.get("description")
    ]
    assert undescribed == []
    assert all(section["additionalProperties"] is False for section in sections.values())


def test_the_day_that_a_template_writes_is_set_once_and_outlives_the_run_folder(tmp_path: Path) -> None:
    planned = with_day(load(tmp_path, "run: {name: x}\n"), date(2026, 11, 28))
    kept = parse_run_file(run_file_mapping(planned), "config.json")

    assert run_file_mapping(planned)["data"]["template_date"] == "2026-11-28"
    assert with_day(kept, date(2026, 12, 24)).data.template_date == date(2026, 11, 28)
    assert kept.recipe().data.template_date == date(2026, 11, 28)


def test_a_run_file_may_name_the_day(tmp_path: Path) -> None:
    named = load(tmp_path, "data: {template_date: 2024-07-26}\n")

    assert with_day(named, date(2026, 11, 28)).data.template_date == date(2024, 7, 26)


def test_a_day_that_is_none_is_refused_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.template_date"):
        load(tmp_path, "data: {template_date: someday}\n")


@pytest.mark.parametrize(
    "name", ["my data.jsonl", "it's mine.jsonl", "grün.jsonl", "a$b.jsonl", "part #1.jsonl", "a = b"]
)
def test_an_override_may_have_spaces_and_signs_in_its_value(tmp_path: Path, name: str) -> None:
    run_file = load(tmp_path, "run: {name: a}\n", f"data.train_path={name} run.seed=3", "run.name=b")

    assert run_file.data.train_path == str(tmp_path / name)
    assert (run_file.run.seed, run_file.run.name) == (3, "b")


def test_an_override_may_be_a_list_and_quoted(tmp_path: Path) -> None:
    run_file = load(
        tmp_path, "run: {name: a}\n", "data.train_path=[a b.jsonl, {path: c.jsonl, weight: 2}] run.name='b'"
    )

    assert run_file.data.train_path == [
        str(tmp_path / "a b.jsonl"), WeightedPath(path=str(tmp_path / "c.jsonl"), weight=2.0)
    ]  # fmt: skip
