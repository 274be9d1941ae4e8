"""Find a supported Terraform on this machine, or install the pinned release in the cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from runner.adapters import process
from runner.errors import ToolError
from trainer.files import cache_folder

OLDEST, TOO_NEW = (1, 11), (2, 0)
PINNED_VERSION = "1.11.4"
RELEASES_URL = "https://releases.hashicorp.com/terraform"
SHA256 = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
    "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
}
"""Checksums of the pinned release's archives, by platform."""
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
BY_HAND = f"install Terraform {OLDEST[0]}.{OLDEST[1]} or newer by hand and put it on PATH"
VERSION_TIMEOUT_S = 30.0
DOWNLOAD_TIMEOUT_S = 60.0
"""Longest silence of the server, in seconds; the archive is 28 MB."""


class TerraformVersionError(ToolError):
    """The Terraform that the user named is missing, broken or not supported."""


class TerraformDownloadError(ToolError):
    """The pinned release of Terraform cannot be had."""


class TerraformChecksumError(ToolError):
    """What was downloaded is not the pinned release."""


def find_terraform() -> Path:
    """Return a supported Terraform: the one ``TERRAFORM`` names, on PATH, in the cache, or downloaded, in this order.

    Raises:
        TerraformVersionError: If ``TERRAFORM`` names one that is not supported.
        TerraformDownloadError: If none is here and the pinned release cannot be had.
        TerraformChecksumError: If the download is not the pinned release.
    """
    named = os.environ.get("TERRAFORM")
    if named:
        return _check_named(named)
    on_path = shutil.which("terraform")
    if on_path is not None and is_supported(_version_of(Path(on_path))):
        return Path(on_path)
    cached = cache_folder() / "terraform" / PINNED_VERSION / "terraform"
    if not os.access(cached, os.X_OK):
        _install(cached)
    return cached


def is_supported(version: str | None) -> bool:
    """Tell whether a version (``1.11.4``, ``1.12.0-rc1``) is one that Douse is made for."""
    match = re.match(r"(\d+)\.(\d+)\.", version or "")
    return match is not None and OLDEST <= (int(match[1]), int(match[2])) < TOO_NEW


def _check_named(named: str) -> Path:
    program = shutil.which(named)
    version = None if program is None else _version_of(Path(program))
    if program is None or not is_supported(version):
        raise TerraformVersionError(
            f"terraform: TERRAFORM={named} is {'missing' if program is None else version or 'no Terraform'}, "
            f"wanted {OLDEST[0]}.{OLDEST[1]} or newer, below {TOO_NEW[0]}.{TOO_NEW[1]}",
            resolution="name a supported Terraform, or unset TERRAFORM",
        )
    return Path(program).absolute()


def _version_of(program: Path) -> str | None:
    """Return what the program says its version is, or ``None`` if it is no Terraform that runs."""
    # The user's CLI configuration may be missing or name plugins; the version needs none of it.
    quiet = {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    try:
        done = process.run([str(program), "version", "-json"], timeout_s=VERSION_TIMEOUT_S, env=quiet)
        answer = json.loads(done.stdout)
    except (ToolError, OSError, ValueError):  # OSError: not a program of this machine's format
        return None
    version = answer.get("terraform_version") if isinstance(answer, dict) else None
    return version if isinstance(version, str) else None


def _install(target: Path) -> None:
    """Download, check and unpack the pinned release; another process sees the whole program or none."""
    machine = platform.machine().lower()
    name = f"{platform.system().lower()}_{MACHINES.get(machine, machine)}"
    if name not in SHA256:
        raise TerraformDownloadError(f"terraform: no release is pinned for {name}", resolution=BY_HAND)
    base = os.environ.get("DOUSE_TERRAFORM_MIRROR") or RELEASES_URL
    file_name = f"terraform_{PINNED_VERSION}_{name}.zip"
    source = f"{base.rstrip('/')}/{PINNED_VERSION}/{file_name}" if "://" in base else str(Path(base) / file_name)
    archive = _read(source)
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256[name]:
        raise TerraformChecksumError(
            f"terraform: {source} has sha256 {found[:12]}…, wanted {SHA256[name][:12]}…",
            resolution="try again; if it stays so, do not trust this source",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as scratch:
            program = Path(zipfile.ZipFile(io.BytesIO(archive)).extract("terraform", scratch))
            program.chmod(0o755)
            program.replace(target)
    except OSError as err:
        raise TerraformDownloadError(
            f"terraform: cannot install in {target.parent}: {err.strerror}",
            resolution="free some disk space, or name another folder with DOUSE_CACHE",
        ) from err


def _read(source: str) -> bytes:
    """Return the archive at a URL or in a mirror folder."""
    try:
        if "://" not in source:
            return Path(source).read_bytes()
        with urllib.request.urlopen(source, timeout=DOWNLOAD_TIMEOUT_S) as response:  # noqa: S310 (the checksum decides)
            return bytes(response.read())
    except (OSError, urllib.error.URLError, ValueError) as err:
        if isinstance(err, urllib.error.HTTPError):
            err.close()
        raise TerraformDownloadError(
            f"terraform: none on PATH is supported, and {source} cannot be read",
            details=str(getattr(err, "reason", err)),
            resolution=f"connect to the network, or set DOUSE_TERRAFORM_MIRROR, or {BY_HAND}",
        ) from err
