"""What of the user's environment reaches Terraform and Ansible."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runner.adapters.surroundings import UTF8, for_ansible, for_guard, for_terraform

PROGRAMS = str(Path(sys.executable).parent)


@pytest.mark.parametrize(
    "name",
    ["TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_ARGS", "TF_CLI_ARGS_apply", "TF_VAR_run_id", "TF_LOG", "TF_LOG_PATH",
     "TF_CLI_CONFIG_FILE", "TF_REATTACH_PROVIDERS", "TF_ENCRYPTION", "TOFU_LOG", "LANG", "LC_CTYPE"],
)  # fmt: skip
def test_no_setting_of_terraforms_own_reaches_terraform(name: str) -> None:
    assert for_terraform({name: "x"}) == {"LC_ALL": UTF8}


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "AWS_PROFILE", "LAMBDA_API_KEY", "DOUSE_LAMBDA_ENDPOINT", "HTTPS_PROXY", "no_proxy",
     "SSL_CERT_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG_PROVIDER", "A_CREDENTIAL_HELPERS_OWN", "TFENV_ROOT"],
)  # fmt: skip
def test_what_providers_need_reaches_terraform(name: str) -> None:
    assert for_terraform({name: "x"}) == {name: "x", "LC_ALL": UTF8}


def test_an_input_reaches_terraform_where_it_is_open() -> None:
    environ = {"TF_VAR_retries": "2", "TF_VAR_retries_more": "3"}

    assert for_terraform(environ, ["retries"]) == {"TF_VAR_retries": "2", "LC_ALL": UTF8}


@pytest.mark.parametrize(
    "name",
    ["ANSIBLE_INVENTORY_ENABLED", "ANSIBLE_STDOUT_CALLBACK", "AWX_LIB_DIRECTORY", "RUNNER_OMIT_EVENTS", "PYTHONPATH",
     "PYTHONSAFEPATH", "LANG", "LC_ALL", "LANGUAGE", "SSH_ASKPASS", "AWS_PROFILE", "HF_TOKEN", "UV_INDEX_MY_PASSWORD",
     "TF_WORKSPACE", "WHATEVER"],
)  # fmt: skip
def test_nothing_reaches_ansible_that_is_not_on_the_list(name: str) -> None:
    assert for_ansible({name: "x"}) == {"LC_ALL": UTF8, "PATH": f"{PROGRAMS}{os.pathsep}{os.defpath}"}


@pytest.mark.parametrize(
    "name", ["HOME", "SSH_AUTH_SOCK", "PIP_INDEX_URL", "UV_FIND_LINKS", "https_proxy", "DOUSE_CACHE", "CUDA_HOME"]
)
def test_what_a_playbook_needs_reaches_ansible(name: str) -> None:
    found = for_ansible({name: "x", "PATH": "/bin"})

    assert found == {name: "x", "LC_ALL": UTF8, "PATH": f"{PROGRAMS}{os.pathsep}/bin"}


def test_a_guard_has_the_one_account_and_no_other_secret() -> None:
    environ = {
        "LAMBDA_API_KEY": "x",
        "DOUSE_LAMBDA_ENDPOINT": "y",
        "HOME": "/h",
        "HTTPS_PROXY": "p",
        "DOUSE_CACHE": "c",
    }
    others = {"RUNPOD_API_KEY": "x", "AWS_PROFILE": "x", "HF_TOKEN": "x", "SSH_AUTH_SOCK": "x", "MY_SECRET": "x"}
    others["DOUSE_NOTICE_URLS"] = "https://hooks.example/token"

    assert for_guard(environ | others, ("LAMBDA_", "DOUSE_LAMBDA_ENDPOINT")) == environ
