"""What of the user's environment reaches the tools that we start: nothing there may make them do something else.

``TF_WORKSPACE`` makes a destroy look into a state in which there is nothing, ``ANSIBLE_INVENTORY_ENABLED`` lets a play
succeed on no host, and a locale without UTF-8 ends Ansible when the machine is rented already. So Ansible is given
what is on a list, and Terraform, whose providers and their helpers read variables that nobody can list, everything
but settings of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from trainer.surroundings import allowed

TERRAFORM_OWN = ("TF_", "TOFU_", "OPENTOFU_")
TERRAFORM_KEPT = ("TF_PLUGIN_CACHE_DIR", "TF_LOG_PROVIDER")
"""What changes nothing but where providers are kept and how much they say."""
INSTALLERS = ("PIP_", "UV_")
"""The playbook installs packages on this machine, too, from where pip and uv are set up to look."""
AGENT = "SSH_AUTH_SOCK"
LANGUAGES = ("LANG", "LANGUAGE")
UTF8 = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
"""A locale that every machine has, and in which every character can be said."""


def for_terraform(environ: Mapping[str, str], inputs: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of Terraform or OpenTofu, without settings of its own.

    Args:
        environ: The user's environment.
        inputs: Inputs of the module that it may set (``TF_VAR_<name>``).
    """
    kept = {*TERRAFORM_KEPT, *(f"TF_VAR_{name}" for name in inputs)}
    return {
        name: value for name, value in _in_utf8(environ).items() if name in kept or not name.startswith(TERRAFORM_OWN)
    }


def for_ansible(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Ansible, and of ssh below it; programs of our own environment come first."""
    listed = allowed(environ, names={AGENT}, families=INSTALLERS)
    programs = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
    return {name: value for name, value in _in_utf8(listed).items() if not name.startswith("PYTHON")} | {
        "PATH": programs
    }


def for_guard(environ: Mapping[str, str], account: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of a run's guard: no secret but those of the one account that it may have to ask.

    Args:
        environ: The user's environment.
        account: Beginnings of the names of the variables that lead to the account.
    """
    return allowed(environ) | {name: value for name, value in environ.items() if name.startswith(account)}


def _in_utf8(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in LANGUAGES and not name.startswith("LC_")}
    return kept | {"LC_ALL": UTF8}
