"""How Terraform finds our provider without a registry (a folder, a CLI configuration, two variables), and the others.

OpenTofu reads the same CLI configuration and speaks the same protocol with providers. But where a module
names a vendor's provider, each of the two adds its own registry's name, in a mirror as well.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from runner.errors import UsageError
from runner.world import World

REGISTRIES: Mapping[str, str] = {"Terraform": "registry.terraform.io", "OpenTofu": "registry.opentofu.org"}
"""Where each product looks for a provider whose address names no host; a folder of this name in a mirror."""
SHORT_ADDRESS = re.compile(r'^\s*source\s*=\s*"([\w-]+/[\w-]+)"', re.MULTILINE)
ADDRESS = "terraform.local/douse/douse"
VERSION = "0.1.0"
PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")
# The lock file holds a checksum of these bytes, so they must be the same on every machine: no path stands in them.
SHIM = b'#!/bin/sh\nexec "${DOUSE_PYTHON:?is not set: see infra/README.md}" -P -m runner.provider\n'


def write_mirror(world: World, folder: Path) -> Path:
    """Write the folder that Terraform installs our provider from; return its absolute path. Again is fine."""
    root = folder.absolute()
    for platform in PLATFORMS:
        program = root / f"{ADDRESS}/{VERSION}/{platform}/terraform-provider-douse_v{VERSION}"
        if program.is_file() and program.read_bytes() == SHIM and os.access(program, os.X_OK):
            continue
        program.parent.mkdir(parents=True, exist_ok=True)
        part = root / f".{platform}.{world.token()}.part"  # outside: Terraform's checksum takes in the whole folder
        part.write_bytes(SHIM)
        part.chmod(0o755)
        part.replace(program)
    return root


def given_mirror(asker: str, environ: Mapping[str, str]) -> Path | None:
    """Return the folder that ``DOUSE_PROVIDER_MIRROR`` names, ``None`` where it names none.

    Args:
        asker: Who asks, for the error.
        environ: The variables.

    Raises:
        UsageError: If there is no such folder.
    """
    given = environ.get("DOUSE_PROVIDER_MIRROR")
    if not given:
        return None
    if not Path(given).is_dir():
        raise UsageError(
            f"{asker}: DOUSE_PROVIDER_MIRROR is {given}, and there is no such folder",
            resolution="name a folder that holds the registry's providers, or unset it: infra/README.md",
        )
    return Path(given)


def check_mirror(mirror: Path, product: str, module: Path) -> None:
    """Compare what a module needs with what a mirror has for this product.

    Args:
        mirror: The folder that ``DOUSE_PROVIDER_MIRROR`` names.
        product: ``Terraform`` or ``OpenTofu``.
        module: The root module.

    Raises:
        UsageError: If the mirror was made for the other product.
    """
    registry = REGISTRIES[product]
    needed = [name for path in module.glob("*.tf") for name in SHORT_ADDRESS.findall(path.read_text(encoding="utf-8"))]
    if needed and not (mirror / registry).is_dir():
        program = "tofu" if product == "OpenTofu" else "terraform"
        raise UsageError(
            f"plan: {product} looks for {needed[0]} in {registry}, and DOUSE_PROVIDER_MIRROR={mirror} holds none",
            resolution=f"fill it by `{program} providers mirror {mirror}` in {module}, name the other program with "
            "TERRAFORM, or unset DOUSE_PROVIDER_MIRROR",
        )


def cli_config(mirror: Path, offline_mirror: Path | None = None) -> str:
    """Return a CLI configuration for Terraform: our provider from our mirror, the others from theirs.

    Args:
        mirror: What ``write_mirror`` wrote.
        offline_mirror: Folder that holds all other providers, or ``None`` to fetch them from their registries.
    """
    ours = '["terraform.local/*/*"]'
    others = (
        f"  direct {{\n    exclude = {ours}\n  }}\n"
        if offline_mirror is None
        else f"  filesystem_mirror {{\n    path    = {_quote(offline_mirror)}\n    exclude = {ours}\n  }}\n"
    )
    return (
        "provider_installation {\n"
        f"  filesystem_mirror {{\n    path    = {_quote(mirror)}\n    include = {ours}\n  }}\n"
        f"{others}}}\n"
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the provider's shim needs, to be put on top of Terraform's environment."""
    project = _project()
    before = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != project]
    return {"DOUSE_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join([project, *before])}


@cache
def _project() -> str:
    return str(Path(__file__).resolve().parents[2])


def _quote(path: Path) -> str:
    return json.dumps(str(path.absolute()), ensure_ascii=False)
