"""The whole run file: the keys that one cloud alone has, read, refused and kept like all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.clouds.own_sections import run_file_class
from runner.run.run_file import RunFile, load_run_file, parse_run_file, run_file_mapping, with_settings
from trainer.errors import ConfigError

SUBNET = "subnet-0123456789abcdef0"


def load(tmp_path: Path, text: str, *overrides: str) -> RunFile:
    """Read a run file that has this text."""
    path = tmp_path / "run.yml"
    path.write_text(text)
    return load_run_file(path, overrides=overrides, model=run_file_class())


def test_a_section_that_nobody_writes_is_not_there(tmp_path: Path) -> None:
    run_file = load(tmp_path, "compute: {env: aws}\n")

    assert run_file.compute.own_sections() == {}
    assert run_file_mapping(run_file)["compute"]["aws"] is None


def test_a_key_of_one_cloud_can_be_set_from_the_command_line(tmp_path: Path) -> None:
    text = "compute: {env: aws, aws: {instance_profile: trainers}}\n"

    run_file = load(tmp_path, text, "compute.aws.tags={team: red}", "compute.aws.instance_profile=others")

    assert run_file_mapping(run_file)["compute"]["aws"] == {
        "vpc_id": None, "subnet_id": None, "instance_profile": "others", "ami_id": None,
        "schedule_role_arn": None, "tags": {"team": "red"},
    }  # fmt: skip


def test_a_run_keeps_the_section_in_its_folder_and_over_a_resume(tmp_path: Path) -> None:
    run_file = load(tmp_path, f"compute: {{env: aws, regions: [us-east-1], aws: {{subnet_id: {SUBNET}}}}}\n")

    again = parse_run_file(run_file_mapping(run_file), "config.json", run_file_class())
    changed = with_settings(again, overrides=["compute.aws.instance_profile=x"], settings={}, folder=tmp_path)

    assert again == run_file
    assert run_file_mapping(changed)["compute"]["aws"]["subnet_id"] == SUBNET
    assert run_file_mapping(changed)["compute"]["aws"]["instance_profile"] == "x"


def test_a_run_folder_of_before_there_were_such_sections_is_read(tmp_path: Path) -> None:
    values = run_file_mapping(load(tmp_path, "compute: {env: aws}\n"))
    del values["compute"]["aws"]

    assert parse_run_file(values, "config.json", run_file_class()).compute.own_sections() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "compute:\n  aws:\n    subnet: x\n",
            "run.yml:3 compute.aws.subnet is not a known key; did you mean `subnet_id`?",
        ),
        ("compute:\n  asw: {}\n", "run.yml:2 compute.asw is not a known key; did you mean `aws`?"),
        ("compute:\n  aws: here\n", "run.yml:2 compute.aws is 'here': give the keys of this section below it"),
        ("compute:\n  aws:\n    vpc_id: net\n", "run.yml:3 compute.aws.vpc_id is 'net': string should match pattern"),
    ],
)
def test_what_is_wrong_in_a_section_is_reported_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    assert message in caught.value.message


@pytest.mark.parametrize("text", ["compute: {env: aws}\n", "compute: {}\n"])
def test_a_key_below_what_is_no_section_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"env is 'aws', not a section|compute\.env is {'vpc_id': 'x'}"):
        load(tmp_path, text, "compute.env.vpc_id=x")
