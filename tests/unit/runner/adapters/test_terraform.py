"""Terraform: each trap of python-terraform 0.10.1 that the adapter closes, and the exact command lines."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from python_terraform import Terraform as Parent

from runner.adapters import process
from runner.adapters.process import ToolCancelledError
from runner.adapters.terraform import STATE_FILE, Terraform
from runner.adapters.terraform_install import find_terraform
from runner.errors import TerraformError
from runner.run.models import Completed
from runner.world import RealWorld

MODULE = """
variable "name" { type = string }
resource "terraform_data" "host" { input = var.name }
output "name" { value = terraform_data.host.output }
"""
SLOW = """
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "touch started; sleep 600"
  }
}
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "main.tf").write_text(MODULE)
    return tmp_path


def terraform_in(folder: Path, program: Path | None = None, **options: Any) -> Terraform:
    """Return Terraform for a user whose shell says nothing of Terraform, unless there is an ``environ``."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return Terraform(program or find_terraform(RealWorld()), folder, options.pop("environ", plain), **options)


def applied(module: Path, **options: Any) -> Terraform:
    terraform = terraform_in(module, **options)
    terraform.write_variables({"name": "box"})
    terraform.prepare()
    terraform.make_plan()
    terraform.apply_plan()
    return terraform


def test_the_parents_destroy_destroys_nothing(module: Path, recwarn: pytest.WarningsRecorder) -> None:
    applied(module)
    parent = Parent(working_dir=str(module), terraform_bin_path=str(find_terraform(RealWorld())))

    code, _, _ = parent.destroy()

    assert code == 1
    assert applied(module).resources() == ["terraform_data.host"]
    recwarn.clear()  # the parent calls logging.warn


def test_our_destroy_destroys_and_can_be_repeated(module: Path) -> None:
    terraform = applied(module)
    assert terraform.resources() == ["terraform_data.host"]

    terraform.destroy()
    terraform.destroy()

    assert terraform.resources() == []


def test_destroy_without_a_state_has_nothing_to_do(tmp_path: Path) -> None:
    terraform_in(tmp_path, Path("/no/terraform")).destroy()

    assert terraform_in(tmp_path, Path("/no/terraform")).resources() == []


def test_an_empty_state_is_none(module: Path) -> None:
    """Such a one is left where Terraform was killed while it created the first resource."""
    (module / STATE_FILE).write_bytes(b"")

    terraform = applied(module)

    assert terraform.resources() == ["terraform_data.host"]
    (module / STATE_FILE).write_bytes(b"")
    terraform_in(module).destroy()
    assert terraform_in(module).resources() == []


def test_a_state_that_cannot_be_read_is_an_error_of_terraforms(module: Path) -> None:
    applied(module)
    (module / STATE_FILE).write_bytes(b"{")

    with pytest.raises(TerraformError):
        terraform_in(module).destroy()


def test_a_second_plan_changes_nothing(module: Path) -> None:
    assert applied(module).make_plan() is False


def test_outputs_are_plain_values(module: Path) -> None:
    assert applied(module).outputs() == {"name": "box"}


def test_the_working_copy_has_files_where_the_module_has_links(module: Path, tmp_path: Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    (root / "main.tf").symlink_to("../main.tf")
    (root / ".terraform.lock.hcl").write_text("lock")
    (root / "my.tfvars").write_text("secret")

    for _ in range(2):
        terraform_in(copy).copy_module(root)

    assert sorted(path.name for path in copy.iterdir()) == [".terraform.lock.hcl", "main.tf"]
    assert [path for path in copy.iterdir() if path.is_symlink()] == []
    assert (copy / "main.tf").read_text() == MODULE


def test_an_undeclared_variable_is_refused(module: Path) -> None:
    with pytest.raises(TerraformError, match="declares no variable nmae"):
        terraform_in(module).write_variables({"nmae": "box"})


def test_a_failure_raises_with_terraforms_own_words(module: Path) -> None:
    (module / "main.tf").write_text(MODULE + 'resource "terraform_data" "bad" { input = file("missing") }\n')
    terraform = terraform_in(module)
    terraform.write_variables({"name": "box"})
    terraform.prepare()

    with pytest.raises(TerraformError, match="terraform: plan failed: Invalid function argument") as caught:
        terraform.make_plan()

    assert 'no file exists at "missing"' in str(caught.value.details)


def test_a_module_that_cannot_be_read_is_reported_by_terraforms_first_error(module: Path) -> None:
    (module / "main.tf").write_text("resource {\n")

    with pytest.raises(TerraformError, match="terraform: init failed: Error: "):
        terraform_in(module).prepare()


def test_a_state_that_cannot_be_read_is_never_an_empty_one(module: Path) -> None:
    terraform = applied(module)
    (module / "terraform.tfstate").write_text("{broken")

    with pytest.raises(TerraformError):
        terraform.resources()


def test_progress_is_reported_while_terraform_runs(module: Path) -> None:
    told: list[str] = []

    applied(module, on_progress=told.append)

    assert any("Creation complete" in text for text in told)


OPENTOFU = """#!/bin/sh
cat <<'END'
{"@level":"info","@message":"OpenTofu 1.11.1","@module":"tofu.ui","tofu":"1.11.1","type":"version","ui":"1.2"}
{"@level":"info","@message":"terraform_data.host: Creating...","@module":"tofu.ui",\
"@timestamp":"2026-11-21T02:00:05.000000Z","type":"apply_start"}
{"@level":"info","@message":"terraform_data.more: Creating...","@module":"tofu.ui",\
"@timestamp":"2026-11-21T02:00:09.000000Z","type":"apply_start"}
{"@level":"error","@message":"Error: no","@module":"tofu.ui","type":"diagnostic",\
"diagnostic":{"severity":"error","summary":"no machine","detail":"none is free"}}
END
exit 1
"""
"""What OpenTofu says of an apply that fails, after its documentation of the machine-readable UI; not recorded."""


def test_what_opentofu_says_is_read_like_terraforms_words(tmp_path: Path) -> None:
    (tmp_path / "tofu").write_text(OPENTOFU.replace("\\\n", ""))
    (tmp_path / "tofu").chmod(0o755)
    told: list[str] = []
    began: list[str] = []

    with pytest.raises(TerraformError, match="terraform: apply failed: no machine: none is free"):
        terraform_in(tmp_path, tmp_path / "tofu", on_progress=told.append, on_start=began.append).apply_plan()

    assert told == ["terraform_data.host: Creating...", "terraform_data.more: Creating..."]
    assert began == ["2026-11-21T02:00:05.000000Z"]


def test_a_stopped_apply_leaves_no_terraform_behind_and_keeps_its_state(module: Path) -> None:
    (module / "main.tf").write_text(MODULE + SLOW)
    terraform = terraform_in(module, cancel=(module / "started").exists)
    terraform.write_variables({"name": "box"})
    terraform.prepare()
    terraform.make_plan()

    with pytest.raises(ToolCancelledError):
        terraform.apply_plan()

    assert "terraform_data.host" in terraform_in(module).resources()


def test_no_variable_file_stays_in_the_temporary_folder(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(module / "tmp"))

    applied(module)

    assert list((module / "tmp").iterdir()) == []
    assert (module / "run.auto.tfvars.json").stat().st_mode & 0o777 == 0o600


def test_the_command_lines_are_exactly_these(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def record(argv: list[str], **options: Any) -> Completed:
        asked.append(tuple(argv))
        assert options["environ"]["TF_CLI_CONFIG_FILE"] == str(module / "terraform.rc")
        assert options["timeout_s"] > 0
        return Completed(tuple(argv), 0, json.dumps({}))

    monkeypatch.setattr(process, "run", record)
    (module / "terraform.tfstate").write_text("{}")
    terraform = terraform_in(module, Path("/bin/terraform"))
    terraform.prepare()
    terraform.make_plan()
    terraform.apply_plan()
    terraform.outputs()
    terraform.resources()
    terraform.destroy()

    program = "/bin/terraform"
    assert asked == [
        (program, "init", "-input=false", "-no-color"),
        (program, "plan", "-out=tfplan", "-input=false", "-no-color", "-detailed-exitcode", "-json"),
        (program, "apply", "-input=false", "-no-color", "-json", "tfplan"),
        (program, "output", "-json"),
        (program, "state", "list"),
        (program, "destroy", "-input=false", "-no-color", "-json", "-auto-approve"),
    ]


def test_a_users_own_terraform_settings_are_left_alone(module: Path) -> None:
    (module / "mirror.rc").write_text("")

    applied(module, environ={**os.environ, "TF_CLI_CONFIG_FILE": str(module / "mirror.rc")})

    assert not (module / "terraform.rc").exists()
    shutil.rmtree(module / ".terraform", ignore_errors=True)


HOSTILE = {
    "TF_WORKSPACE": "other",
    "TF_DATA_DIR": "elsewhere",
    "TF_CLI_ARGS": "-no-such-option",
    "TF_CLI_ARGS_destroy": "-target=terraform_data.nothing",
    "TF_VAR_name": "theirs",
    "TF_INPUT": "nonsense",
    "TF_LOG": "TRACE",
    "LC_ALL": "C",
}
"""Each of them makes Terraform do something else."""


def test_a_destroy_destroys_whatever_the_users_shell_says_of_terraform(module: Path) -> None:
    environ = {**os.environ, **HOSTILE, "TF_LOG_PATH": str(module / "trace.log")}

    terraform = applied(module, environ=environ)
    assert terraform.resources() == ["terraform_data.host"]
    assert terraform.outputs() == {"name": "box"}
    terraform.destroy()

    assert terraform.resources() == []
    assert json.loads((module / "terraform.tfstate").read_text())["resources"] == []
    left = ("terraform.tfstate.d", "elsewhere", "trace.log")
    assert [name for name in left if (module / name).exists()] == []


def test_a_destroy_looks_into_no_workspace_that_somebody_chose_in_the_working_copy(module: Path) -> None:
    terraform = applied(module)
    program = str(find_terraform(RealWorld()))
    quiet = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    subprocess.run(
        [program, "workspace", "new", "other"], cwd=module, env=quiet, check=True, capture_output=True, timeout=120
    )

    assert terraform.resources() == ["terraform_data.host"]
    terraform.destroy()

    assert json.loads((module / "terraform.tfstate").read_text())["resources"] == []


def test_an_input_is_open_to_the_users_environment_where_it_is_named(module: Path) -> None:
    (module / "more.tf").write_text('variable "retries" { default = "none" }\noutput "n" { value = var.retries }\n')
    environ = {**os.environ, "TF_VAR_retries": "2"}

    assert applied(module, environ=environ, inputs=["retries"]).outputs()["n"] == "2"
    assert applied(module, environ=environ).outputs()["n"] == "none"


def test_plan_state_and_variables_are_their_users_alone(module: Path) -> None:
    applied(module)
    applied(module).destroy()  # a backup is made, too

    names = ("tfplan", "terraform.tfstate", "terraform.tfstate.backup", "run.auto.tfvars.json")
    assert {name: stat.S_IMODE((module / name).stat().st_mode) for name in names} == dict.fromkeys(names, 0o600)
