"""How Terraform finds our provider without a registry: a folder, a CLI configuration, two variables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.world import World

ADDRESS = "terraform.local/douse/douse"
VERSION = "0.1.0"
PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")
# The lock file holds a checksum of these bytes, so they must be the same on every machine: no path stands in them.
SHIM = b'#!/bin/sh\nexec "${DOUSE_PYTHON:?is not set: see infra/README.md}" -P -m runner.provider\n'


def write_mirror(world: World, folder: Path) -> Path:
    """Write the folder that Terraform installs our provider from; return its absolute path. Again is fine."""
    root = folder.absolute()
    for platform in PLATFORMS:
        program = root / ADDRESS / VERSION / platform / f"terraform-provider-douse_v{VERSION}"
        if program.is_file() and program.read_bytes() == SHIM and os.access(program, os.X_OK):
            continue
        program.parent.mkdir(parents=True, exist_ok=True)
        part = root / f".{platform}.{world.token()}.part"  # outside: Terraform's checksum takes in the whole folder
        part.write_bytes(SHIM)
        part.chmod(0o755)
        part.replace(program)
    return root


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
    project = str(Path(__file__).resolve().parents[2])
    before = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != project]
    return {"DOUSE_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join([project, *before])}


def _quote(path: Path) -> str:
    return json.dumps(str(path.absolute()), ensure_ascii=False)
