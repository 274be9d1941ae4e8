"""Each cloud's record: whole, honest about what is missing, and light enough for the command line's help."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml

from runner.adapters.terraform import DECLARED
from runner.cloud_api.environment import CloudRecord, Environment, MachineOrder, NotThere
from runner.clouds.aws.cloud import BOOT_LEASE_UNIT
from runner.clouds.registry import CLOUDS, gpuhunt_names, how_to_configure, real_variables
from runner.prices.price_list import listed_clouds
from runner.rehearsal.services import emulated_clouds
from runner.run.run_dir import PROJECT
from runner.run.run_file import RunFile

HEAVY = ("boto3", "botocore", "cryptography", "google.protobuf", "grpc", "httpx2", "pydantic", "trainer", "yaml")
ENTRY = "import sys, runner.clouds.environments; print(sorted(set({names!r}) & set(sys.modules)))"
FOR_A_SCHEMA = """
import sys
from runner.clouds.provider import DouseProvider
from runner.provider.service import Service
from runner.provider.wire import MESSAGES
from runner.world import RealWorld
answer = Service(DouseProvider(RealWorld())).answer("GetProviderSchema", MESSAGES["Empty"]())
print(*sorted(answer.resource_schemas), sorted({"pydantic", "httpx2", "yaml"} & set(sys.modules)))
"""
RECORDS = pytest.mark.parametrize("record", CLOUDS.values(), ids=CLOUDS)


def order(folder: Path, **changes: object) -> MachineOrder:
    """Return what a run may ask of a machine, with a host key in a folder."""
    (folder / "host_key").write_text("PRIVATE\n")
    (folder / "host_key.pub").write_text("ssh-ed25519 AAAAhost somebody\n")
    values = {
        "host_key": folder / "host_key",
        "image": None,
        "trust": "secure",
        "price_usd_per_h": 1.25,
        "create_timeout_s": 1500,
        "delete_timeout_s": 600,
        "hard_end_s": 90_000,
    }
    return MachineOrder(**(values | changes))  # type: ignore[arg-type]


@RECORDS
def test_what_a_cloud_does_not_have_is_said_with_a_reason(record: CloudRecord) -> None:
    missing = {field.name: getattr(record, field.name) for field in fields(record)}
    missing = {name: value for name, value in missing.items() if isinstance(value, NotThere)}

    assert missing
    assert {name for name, value in missing.items() if len(value.because.split()) < 4} == set()
    assert all(value is not None for value in vars(record).values())


@RECORDS
def test_a_record_is_of_the_folder_and_the_modules_that_go_by_its_name(record: CloudRecord) -> None:
    assert (PROJECT / "infra" / "environments" / record.environment.module / "instance.tf").is_file()
    assert record.name in listed_clouds()
    assert (PROJECT.joinpath(*record.package.split(".")) / "emulator" / "__init__.py").is_file()
    assert (record.environment.bills, record.environment.shape) == (True, "machine")


@RECORDS
def test_how_long_a_boot_takes_is_dated_and_sourced(record: CloudRecord) -> None:
    for boot in (record.boot, record.boot_many_gpus):
        if not isinstance(boot, NotThere):
            assert 0 < boot.low_s <= (boot.expected_s or boot.low_s) <= boot.high_s
            assert boot.source
            assert boot.as_of <= date(2026, 11, 28)


@RECORDS
def test_nothing_that_opens_an_account_gets_into_a_rehearsal(record: CloudRecord) -> None:
    assert record.real_variables
    assert all(name.isupper() for name in record.real_variables)
    if not isinstance(record.provider, NotThere):
        secret = [variable for name, variable in record.provider().block.items() if name.endswith("_key")]
        assert secret
        assert all(name.startswith(record.real_variables) for name in secret)


@RECORDS
def test_what_a_rehearsal_sets_of_the_module_is_open_and_declared(record: CloudRecord) -> None:
    module = PROJECT / "infra" / "environments" / record.environment.module
    declared = {name for path in module.glob("*.tf") for name in DECLARED.findall(path.read_text(encoding="utf-8"))}
    here = {"logins": "ssh://ada@127.0.0.1:2222"} | dict.fromkeys(("aws", "lambda", "runpod", "runpod_graphql"), "x")
    set_there = emulated_clouds()[record.name].environment(here | {"control": "x"})

    assert set(record.open_inputs) <= declared
    assert {name for name in set_there if name.startswith("TF_")} == {f"TF_VAR_{name}" for name in record.open_inputs}


@RECORDS
def test_words_for_the_run_file_are_of_keys_that_there_are(record: CloudRecord) -> None:
    values = RunFile().model_dump()

    assert [name for name in record.run_file_words if name.split(".")[1] not in values[name.split(".")[0]]] == []


@RECORDS
def test_every_input_of_a_cloud_is_a_variable_of_its_root_module(record: CloudRecord, tmp_path: Path) -> None:
    module = PROJECT / "infra" / "environments" / record.environment.module
    declared = "".join(path.read_text() for path in module.glob("*.tf"))
    made = {**record.inputs(order(tmp_path, image="mine"))}
    if not isinstance(record.secret_inputs, NotThere):
        made |= record.secret_inputs(order(tmp_path))

    assert made
    assert [name for name in made if f'variable "{name}" {{' not in declared] == []


def test_only_what_asks_for_community_machines_is_given_them(tmp_path: Path) -> None:
    inputs = CLOUDS["runpod"].inputs

    assert inputs(order(tmp_path))["runpod_community_enabled"] is False
    assert inputs(order(tmp_path, trust="any"))["runpod_community_enabled"] is True
    assert inputs(order(tmp_path, image="mine"))["runpod_image"] == "mine"
    assert inputs(order(tmp_path))["runpod_image"] == CLOUDS["runpod"].default_image


def test_a_machine_of_lambdas_gets_its_host_key_by_no_file(tmp_path: Path) -> None:
    record = CLOUDS["lambda"]
    assert not isinstance(record.secret_inputs, NotThere)

    assert "PRIVATE" not in str(record.inputs(order(tmp_path)))
    (name, text), *others = record.secret_inputs(order(tmp_path)).items()
    assert (name, others) == ("lambda_user_data", [])
    assert text.startswith("#cloud-config\n")
    keys = {"ed25519_private": "PRIVATE\n", "ed25519_public": "ssh-ed25519 AAAAhost"}
    assert yaml.safe_load(text) == {"ssh_deletekeys": True, "ssh_keys": keys}


def test_a_machine_of_aws_ends_itself_by_a_timer_of_its_first_boot(tmp_path: Path) -> None:
    made = CLOUDS["aws"].inputs(order(tmp_path))

    assert (made["aws_host_key"], made["aws_price_usd_per_h"]) == ("ssh-ed25519 AAAAhost", 1.25)
    hard_end, *_ = yaml.safe_load(made["aws_user_data"])["runcmd"]
    assert hard_end == ["systemd-run", "--unit=douse-hard-end", "--on-active=90000", "systemctl", "poweroff"]
    assert CLOUDS["aws"].inputs(order(tmp_path, image="/ssm/mine"))["aws_ami_parameter"] == "/ssm/mine"


def test_a_machine_of_aws_that_is_never_set_up_ends_itself_after_a_reboot_too(tmp_path: Path) -> None:
    made = CLOUDS["aws"].inputs(order(tmp_path))
    config = yaml.safe_load(made["aws_user_data"])
    files = {Path(entry["path"]).name: entry["content"] for entry in config["write_files"]}
    (tmp_path / "douse-boot-lease.timer").write_text(files["douse-boot-lease.timer"])
    _, set_date, *rest = config["runcmd"]
    subprocess.run([word.replace("/etc/systemd/system", str(tmp_path)) for word in set_date], check=True, timeout=60)

    lines = (tmp_path / "douse-boot-lease.timer").read_text().splitlines()
    assert {"OnActiveSec=3300", "Persistent=true", "Unit=douse-end.service", "WantedBy=timers.target"} <= set(lines)
    (date,) = (line.removeprefix("OnCalendar=") for line in lines if line.startswith("OnCalendar="))
    left_s = (datetime.strptime(date, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    assert 3000 < left_s <= 3300
    assert rest == [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "douse-boot-lease.timer"]]


def test_a_shutdown_of_aws_that_hangs_is_cut_short_by_a_unit_that_it_does_not_stop(tmp_path: Path) -> None:
    config = yaml.safe_load(CLOUDS["aws"].inputs(order(tmp_path))["aws_user_data"])
    (unit,) = (entry["content"] for entry in config["write_files"] if entry["path"].endswith("/douse-end.service"))

    assert "DefaultDependencies=no\n" in unit
    assert "ExecStart=/bin/sh -c 'systemctl poweroff; sleep 300; systemctl --force --force poweroff'\n" in unit


def test_the_role_of_the_lease_replaces_what_the_boot_began() -> None:
    inventories = PROJECT / "inventories"
    roles = {
        name: yaml.safe_load((inventories / name / "group_vars" / "all" / "roles.yml").read_text())
        for name in ("aws", "runpod", "lambda")
    }

    assert roles["aws"]["lease_boot_timer"] == f"{BOOT_LEASE_UNIT}.timer"
    assert "lease_boot_folder" in roles["runpod"]
    assert isinstance(CLOUDS["lambda"].boot_lease, NotThere)


def test_a_pod_has_a_lease_from_its_start_where_its_image_allows(tmp_path: Path) -> None:
    inputs = CLOUDS["runpod"].inputs

    assert inputs(order(tmp_path))["runpod_start_command"].endswith("exec /start.sh'")
    assert inputs(order(tmp_path, image="mine:1"))["runpod_start_command"] is None


def test_who_has_set_nothing_is_told_what_to_set() -> None:
    assert how_to_configure() == "set LAMBDA_API_KEY, RUNPOD_API_KEY or credentials of AWS, as for `make train`"


def test_all_variables_that_lead_to_an_account_are_known() -> None:
    assert set(real_variables()) == {
        "LAMBDA_", "DOUSE_LAMBDA_ENDPOINT", "RUNPOD_", "DOUSE_RUNPOD", "AWS_", "DOUSE_AWS",
    }  # fmt: skip


def test_gpuhunts_names_are_those_of_clouds_whose_machines_it_names_alike() -> None:
    assert gpuhunt_names() == {"lambda": "lambdalabs", "aws": "aws"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (Environment("own", module="local"), False),
        (Environment("cloud", module="cloud", bills=True), True),
        (Environment("jobs", module="jobs", bills=True, shape="job"), False),
    ],
    ids=["own", "machine", "job"],
)
def test_a_machine_of_ours_is_one_that_bills_and_that_one_logs_in_to(environment: Environment, expected: bool) -> None:
    assert environment.rents_machine is expected


def test_the_records_load_no_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENTRY.format(names=HEAVY)],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_our_provider_gives_its_schema_without_what_only_requests_need() -> None:
    """Terraform starts it several times for each command, mostly for its schema alone."""
    done = subprocess.run([sys.executable, "-c", FOR_A_SCHEMA], capture_output=True, text=True, timeout=60)

    assert done.stderr == ""
    assert done.stdout == "douse_lambda_instance douse_lambda_ssh_key douse_runpod_pod []\n"
