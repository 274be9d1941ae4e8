"""The mirror, the CLI configuration, and the two variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hcl2
import pytest

from runner.errors import UsageError
from runner.provider.mirror import SHIM, check_mirror, cli_config, environment, given_mirror, write_mirror
from runner.world import RealWorld


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_mirror_is_the_same_in_every_folder(tmp_path: Path) -> None:
    first, second = (
        write_mirror(RealWorld(), tmp_path / "one"),
        write_mirror(RealWorld(), tmp_path / "another one" / "deep"),
    )

    assert content(first) == content(second)
    assert content(first) == {
        f"terraform.local/douse/douse/0.1.0/{platform}/terraform-provider-douse_v0.1.0": (SHIM, 0o755)
        for platform in ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")
    }


def test_the_shim_has_two_lines_and_no_path_of_this_machine(tmp_path: Path) -> None:
    assert SHIM == b'#!/bin/sh\nexec "${DOUSE_PYTHON:?is not set: see infra/README.md}" -P -m runner.provider\n'
    assert str(Path.home()).encode() not in SHIM


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    mirror = write_mirror(RealWorld(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in mirror.rglob("*")}

    write_mirror(RealWorld(), tmp_path)

    assert {path: path.stat().st_mtime_ns for path in mirror.rglob("*")} == before


def test_a_damaged_shim_is_mended(tmp_path: Path) -> None:
    mirror = write_mirror(RealWorld(), tmp_path)
    whole = content(mirror)
    first, second, *_ = sorted(path for path in mirror.rglob("terraform-provider-*"))
    first.write_bytes(b"")
    second.chmod(0o644)

    assert content(write_mirror(RealWorld(), tmp_path)) == whole


def test_other_providers_come_from_their_registries(tmp_path: Path) -> None:
    assert cli_config(tmp_path / "ours") == (
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f'    path    = "{tmp_path}/ours"\n'
        '    include = ["terraform.local/*/*"]\n'
        "  }\n"
        "  direct {\n"
        '    exclude = ["terraform.local/*/*"]\n'
        "  }\n"
        "}\n"
    )


def test_other_providers_come_from_an_offline_mirror_and_from_nowhere_else(tmp_path: Path) -> None:
    config = cli_config(tmp_path / "ours", tmp_path / "theirs")

    assert "direct" not in config
    assert f'path    = "{tmp_path}/theirs"\n    exclude = ["terraform.local/*/*"]' in config
    assert hcl2.loads(config)


def test_a_relative_path_is_written_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert f'"{tmp_path}/mirror"' in cli_config(write_mirror(RealWorld(), Path("mirror")))


def test_the_variables_name_this_python_and_where_runner_is(monkeypatch: pytest.MonkeyPatch) -> None:
    project = str(Path(__file__).resolve().parents[4])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/elsewhere", project]))

    assert environment(os.environ) == {"DOUSE_PYTHON": sys.executable, "PYTHONPATH": f"{project}{os.pathsep}/elsewhere"}


AWS = Path(__file__).resolve().parents[4] / "infra" / "environments" / "aws"


@pytest.mark.parametrize("environ", [{}, {"DOUSE_PROVIDER_MIRROR": ""}])
def test_no_mirror_is_given(environ: dict[str, str]) -> None:
    assert given_mirror("plan", environ) is None


def test_a_mirror_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert given_mirror("plan", {"DOUSE_PROVIDER_MIRROR": str(tmp_path)}) == tmp_path

    with pytest.raises(UsageError, match=r"^plan: DOUSE_PROVIDER_MIRROR is .*/gone, and there is no such folder$"):
        given_mirror("plan", {"DOUSE_PROVIDER_MIRROR": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("product", "registry"), [("Terraform", "registry.terraform.io"), ("OpenTofu", "registry.opentofu.org")]
)
def test_each_product_has_its_own_registry_in_a_mirror(tmp_path: Path, product: str, registry: str) -> None:
    (tmp_path / registry / "hashicorp" / "aws").mkdir(parents=True)
    other = {"Terraform": "OpenTofu", "OpenTofu": "Terraform"}[product]

    check_mirror(tmp_path, product, AWS)
    with pytest.raises(UsageError) as caught:
        check_mirror(tmp_path, other, AWS)

    assert caught.value.message.startswith(f"plan: {other} looks for hashicorp/aws in registry.")
    assert registry not in caught.value.message
    assert "unset DOUSE_PROVIDER_MIRROR" in caught.value.resolution


@pytest.mark.parametrize("name", ["lambda", "local", "runpod"])
def test_a_module_that_takes_no_provider_of_a_registry_needs_none_in_the_mirror(tmp_path: Path, name: str) -> None:
    check_mirror(tmp_path, "OpenTofu", AWS.parent / name)
