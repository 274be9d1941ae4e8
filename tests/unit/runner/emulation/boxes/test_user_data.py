from __future__ import annotations

import pytest

from runner.emulation.boxes.user_data import SshKeys, UserData, UserDataError, WriteFile, read_user_data

GOOD = """#cloud-config
ssh_deletekeys: true
ssh_keys:
  ed25519_private: |
    PRIVATE
  ed25519_public: ssh-ed25519 AAAA
write_files:
  - {path: /etc/douse, content: secret, permissions: "0600"}
runcmd:
  - echo hello
  - [touch, /etc/a file]
"""


def test_what_douse_writes_is_read() -> None:
    assert read_user_data(GOOD) == UserData(
        ssh_deletekeys=True,
        ssh_keys=SshKeys(ed25519_private="PRIVATE\n", ed25519_public="ssh-ed25519 AAAA"),
        write_files=[WriteFile(path="/etc/douse", content="secret", permissions="0600")],
        runcmd=["echo hello", ["touch", "/etc/a file"]],
    )


@pytest.mark.parametrize("text", [None, "", "  \n", "#cloud-config\n"])
def test_no_user_data_is_fine(text: str | None) -> None:
    assert read_user_data(text) == UserData()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("#!/bin/sh\necho hi\n", "its first line is not #cloud-config"),
        ("#cloud-config\na: [", "it is not YAML"),
        ("#cloud-config\npackages: [vim]\n", "packages: Extra inputs are not permitted"),
        ("#cloud-config\nruncmd: echo hi\n", "runcmd: Input should be a valid list"),
        ("#cloud-config\nwrite_files: [{path: etc/x}]\n", "write_files.0.path: String should match pattern '^/'"),
        (
            "#cloud-config\nwrite_files: [{path: /x, permissions: 0600}]\n",
            "write_files.0.permissions: Input should be a valid string",
        ),
        ("#cloud-config\nssh_keys: {ed25519_private: x}\n", "ssh_keys.ed25519_public: Field required"),
        ("#cloud-config\n- a\n", "the whole: Input should be a valid dictionary or instance of UserData"),
    ],
)
def test_what_a_box_does_not_know_is_refused(text: str, why: str) -> None:
    with pytest.raises(UserDataError) as caught:
        read_user_data(text)

    assert caught.value.message == f"boxes: the user data cannot be used: {why}"
    assert caught.value.resolution == "use ssh_keys, ssh_deletekeys, write_files and runcmd only"


def test_a_refusal_never_shows_the_private_key() -> None:
    with pytest.raises(UserDataError) as caught:
        read_user_data(GOOD.replace("ssh_deletekeys: true", "packages: [vim]"))

    assert "PRIVATE" not in f"{caught.value} {caught.value.details}"
