"""Terraform or OpenTofu is found, or the pinned release is installed, or the error says what to do."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import platform
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from runner.adapters.terraform_install import (
    SHA256,
    Product,
    Release,
    TerraformChecksumError,
    TerraformDownloadError,
    TerraformVersionError,
    find_terraform,
    is_near,
    is_supported,
    release_of,
)
from runner.world import RealWorld
from trainer.files import cache_folder

ARCHIVE_NAME = "terraform_1.11.4_linux_amd64.zip"


SAID_BY_TERRAFORM = """Terraform v{version}
on linux_amd64

Your version of Terraform is out of date! The latest version
is 1.15.1. You can update by downloading from https://developer.hashicorp.com/terraform/install
"""
SAID_BY_OPENTOFU = """OpenTofu v{version}
on linux_amd64
+ provider registry.opentofu.org/hashicorp/aws v5.100.0
"""
"""What ``version`` prints, after each product's own documentation of the command."""


def write_program(folder: Path, version: str, *, name: str = "terraform", said: str = SAID_BY_TERRAFORM) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"""#!/bin/sh
[ "$TF_CLI_CONFIG_FILE" = /dev/null ] && [ "$*" = version ] || exit 9
printf '%s' '{said.format(version=version)}'
""")
    program.chmod(0o755)
    return program


def archive_of(script: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("terraform", script)
    return buffer.getvalue()


@dataclass
class Machine:
    """A folder that stands for a Linux machine without Terraform: its own PATH and cache."""

    folder: Path
    environ: dict[str, str]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def world(self) -> RealWorld:
        return RealWorld(self.environ)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (tmp_path / "mirror" / "1.11.4").mkdir(parents=True)
    return Machine(tmp_path, {"DOUSE_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "bin")})


class _Server(http.server.ThreadingHTTPServer):
    asked: list[str]


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        assert isinstance(self.server, _Server)
        self.server.asked.append(self.path)


@pytest.fixture
def mirror(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, directory=str(machine / "mirror")))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    machine.environ["DOUSE_TERRAFORM_MIRROR"] = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


def publish(machine: Machine, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (machine / "mirror" / "1.11.4" / ARCHIVE_NAME).write_bytes(content)
    monkeypatch.setitem(SHA256, "linux_amd64", hashlib.sha256(content).hexdigest())


def test_a_supported_terraform_on_path_is_taken(machine: Machine) -> None:
    program = write_program(machine / "bin", "1.12.2")

    assert find_terraform(machine.world) == program
    assert not (machine / "cache").exists()


def test_settings_of_the_users_do_not_hide_a_terraform(machine: Machine) -> None:
    program = write_program(machine / "bin", "1.12.2")
    program.write_text(program.read_text().replace("[ ", '[ -z "$TF_CLI_ARGS_version$TF_LOG" ] && [ ', 1))
    machine.environ |= {"TF_CLI_ARGS_version": "-json", "TF_LOG": "TRACE"}

    assert find_terraform(machine.world) == program


def test_opentofu_on_path_is_taken_where_there_is_no_terraform(machine: Machine) -> None:
    program = write_program(machine / "bin", "1.11.1", name="tofu", said=SAID_BY_OPENTOFU)

    assert find_terraform(machine.world) == program
    assert release_of(program, machine.environ) == Release("OpenTofu", "1.11.1")
    assert not (machine / "cache").exists()


def test_terraform_comes_before_opentofu(machine: Machine) -> None:
    write_program(machine / "bin", "1.11.1", name="tofu", said=SAID_BY_OPENTOFU)
    terraform = write_program(machine / "bin", "1.12.2")

    assert find_terraform(machine.world) == terraform


def test_a_terraform_that_is_too_old_leaves_it_to_opentofu(machine: Machine) -> None:
    write_program(machine / "bin", "1.5.7")
    tofu = write_program(machine / "bin", "1.12.0", name="tofu", said=SAID_BY_OPENTOFU)

    assert find_terraform(machine.world) == tofu


def test_opentofu_is_named_like_any_program(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(machine / "bin", "1.12.2")
    tofu = write_program(machine / "bin", "1.12.0", name="tofu", said=SAID_BY_OPENTOFU)
    machine.environ["TERRAFORM"] = "tofu"

    assert find_terraform(machine.world) == tofu


def test_an_opentofu_that_is_too_old_is_refused_by_its_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(machine / "bin", "1.10.8", name="tofu", said=SAID_BY_OPENTOFU)
    machine.environ["TERRAFORM"] = "tofu"

    with pytest.raises(TerraformVersionError, match=r"TERRAFORM=tofu is OpenTofu 1\.10\.8, wanted 1\.11 or newer"):
        find_terraform(machine.world)


def test_a_program_that_is_neither_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_program(machine / "bin", "1.12.0", name="other", said="Packer v{version}")
    machine.environ["TERRAFORM"] = str(other)

    with pytest.raises(TerraformVersionError, match="is neither Terraform nor OpenTofu, wanted"):
        find_terraform(machine.world)


@pytest.mark.parametrize("name", ["terraform", "tofu"])
def test_a_program_on_path_is_near_and_without_one_nothing_is(machine: Machine, name: str) -> None:
    assert not is_near(machine.world)

    write_program(machine / "bin", "0.1.0", name=name)

    assert is_near(machine.world)


def test_a_terraform_named_by_the_user_wins_over_path(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(machine / "bin", "1.12.2")
    mine = write_program(machine / "mine", "1.11.0", name="terraform-1.11")
    machine.environ["TERRAFORM"] = str(mine)

    assert find_terraform(machine.world) == mine


@pytest.mark.parametrize("version", ["1.10.5", "2.0.0"])
def test_a_named_terraform_of_an_unsupported_version_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    mine = write_program(machine / "mine", version)
    machine.environ["TERRAFORM"] = str(mine)

    with pytest.raises(TerraformVersionError) as caught:
        find_terraform(machine.world)

    assert (
        caught.value.message == f"terraform: TERRAFORM={mine} is Terraform {version}, wanted 1.11 or newer, below 2.0"
    )
    assert caught.value.resolution == "name a supported Terraform or OpenTofu (TERRAFORM=tofu), or unset TERRAFORM"


def test_a_named_terraform_that_is_missing_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.environ["TERRAFORM"] = "/no/such/terraform"

    with pytest.raises(TerraformVersionError, match="TERRAFORM=/no/such/terraform is missing"):
        find_terraform(machine.world)


@pytest.mark.parametrize("on_path", ["1.10.5", "2.0.0", "nonsense", None])
def test_the_pinned_release_is_installed_when_path_has_no_supported_one(
    machine: Machine, mirror: _Server, monkeypatch: pytest.MonkeyPatch, on_path: str | None
) -> None:
    if on_path is not None:
        write_program(machine / "bin", on_path)
    publish(machine, monkeypatch, archive_of("#!/bin/sh\n"))

    program = find_terraform(machine.world)

    assert program == machine / "cache" / "terraform" / "1.11.4" / "terraform"
    assert os.access(program, os.X_OK)
    assert [path.name for path in program.parent.iterdir()] == ["terraform"]
    assert mirror.asked == [f"/1.11.4/{ARCHIVE_NAME}"]


def test_a_file_on_path_that_is_no_program_is_passed_over(
    machine: Machine, mirror: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "bin").mkdir()
    (machine / "bin" / "terraform").write_bytes(b"\x7fELF for another machine")
    (machine / "bin" / "terraform").chmod(0o755)
    publish(machine, monkeypatch, archive_of("#!/bin/sh\n"))

    assert find_terraform(machine.world).is_relative_to(machine / "cache")


def test_the_second_call_downloads_nothing(machine: Machine, mirror: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(machine, monkeypatch, archive_of("#!/bin/sh\n"))

    assert find_terraform(machine.world) == find_terraform(machine.world)

    assert len(mirror.asked) == 1


def test_a_mirror_may_be_a_folder(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(machine, monkeypatch, archive_of("#!/bin/sh\n"))
    machine.environ["DOUSE_TERRAFORM_MIRROR"] = str(machine / "mirror" / "1.11.4")

    assert find_terraform(machine.world).is_file()


def test_a_download_with_another_checksum_is_refused_and_leaves_nothing(machine: Machine, mirror: _Server) -> None:
    content = archive_of("#!/bin/sh\necho stolen\n")
    (machine / "mirror" / "1.11.4" / ARCHIVE_NAME).write_bytes(content)

    with pytest.raises(TerraformChecksumError) as caught:
        find_terraform(machine.world)

    assert f"has sha256 {hashlib.sha256(content).hexdigest()[:12]}…, wanted 1ce994251c00…" in caught.value.message
    assert not (machine / "cache").exists()


def test_a_platform_without_a_pinned_release_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(TerraformDownloadError) as caught:
        find_terraform(machine.world)

    assert caught.value.message == "terraform: no release is pinned for linux_riscv64"
    assert caught.value.resolution == "install Terraform or OpenTofu 1.11 or newer by hand and put it on PATH"


@pytest.mark.parametrize("cause", ["not found", "no server", "no folder"])
def test_a_source_that_cannot_be_read_is_reported(
    machine: Machine, mirror: _Server, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    if cause == "no server":
        machine.environ["DOUSE_TERRAFORM_MIRROR"] = "http://127.0.0.1:1"
    if cause == "no folder":
        machine.environ["DOUSE_TERRAFORM_MIRROR"] = str(machine / "nowhere")

    with pytest.raises(TerraformDownloadError) as caught:
        find_terraform(machine.world)

    assert caught.value.message.startswith("terraform: none on PATH is supported, and ")
    assert caught.value.resolution.startswith("connect to the network, or set DOUSE_TERRAFORM_MIRROR, or install")
    assert caught.value.details
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "a SOCKS proxy, and socksio is not installed"),
        ("SSL_CERT_FILE", "/nowhere/certificates", "SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"),
        ("HTTPS_PROXY", "nonsense://x", "a proxy variable or the address is of no use"),
    ],
)
def test_a_network_that_nobody_can_use_is_said(
    variable: str, value: str, words: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    machine.environ["DOUSE_TERRAFORM_MIRROR"] = "https://127.0.0.1:1"

    with pytest.raises(TerraformDownloadError, match=words) as caught:
        find_terraform(machine.world)

    assert "unset SSL_CERT_FILE" in caught.value.resolution
    assert caught.value.resolution.endswith("put it on PATH")


def test_a_cache_that_cannot_be_written_is_reported(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(machine, monkeypatch, archive_of("#!/bin/sh\n"))
    machine.environ["DOUSE_TERRAFORM_MIRROR"] = str(machine / "mirror" / "1.11.4")
    (machine / "cache").write_text("a file where the folder should be")

    with pytest.raises(TerraformDownloadError) as caught:
        find_terraform(machine.world)

    assert caught.value.resolution == "free some disk space, or name another folder with DOUSE_CACHE"


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"DOUSE_CACHE": "/a/cache", "XDG_CACHE_HOME": "/b"}, "/a/cache"),
        ({"DOUSE_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/douse"),
        ({"DOUSE_CACHE": "", "XDG_CACHE_HOME": ""}, "~/.cache/douse"),
        ({}, "~/.cache/douse"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(variables: dict[str, str], folder: str) -> None:
    assert cache_folder(variables) == Path(folder).expanduser()


@pytest.mark.parametrize(
    ("version", "supported"),
    [
        ("0.12.31", False), ("1.10.9", False), ("1.11.0", True), ("1.11.4", True), ("1.20.0-rc1", True),
        ("2.0.0", False), ("v1.11", False), ("", False), (None, False),
    ],
)  # fmt: skip
def test_supported_versions_are_from_1_11_below_2(version: str | None, supported: bool) -> None:
    for product in get_args(Product):
        assert is_supported(None if version is None else Release(product, version)) is supported


def test_every_pinned_checksum_is_a_whole_sha256() -> None:
    assert all(len(value) == 64 and set(value) <= set("0123456789abcdef") for value in SHA256.values())
    assert len(set(SHA256.values())) == 4
