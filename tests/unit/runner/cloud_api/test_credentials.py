"""What is read from the environment to open an account."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from runner.cloud_api.credentials import in_home


@pytest.mark.parametrize(
    ("path", "found"),
    [("~/.aws/config", "/home/ada/.aws/config"), ("~", "/home/ada"), ("/etc/key", "/etc/key"), ("a~/b", "a~/b")],
)
def test_a_leading_tilde_is_the_home_folder(path: str, found: str) -> None:
    assert in_home({"HOME": "/home/ada"}, path) == Path(found)


def test_without_home_the_accounts_own_folder_is_taken_as_a_scheduled_sweep_has_none() -> None:
    assert in_home({}, "~/.aws/config") == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".aws/config"
