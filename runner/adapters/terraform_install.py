"""Find a supported Terraform or OpenTofu on this machine, or install the pinned release of Terraform in the cache."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.adapters import process, surroundings
from runner.errors import ToolError
from runner.world import World
from trainer.files import cache_folder

Product = Literal["Terraform", "OpenTofu"]

PROGRAMS = ("terraform", "tofu")
"""What is looked for on PATH, in this order."""
FIRST_LINE = re.compile(r"(Terraform|OpenTofu) v(\S+)")
"""How ``version`` begins; with ``-json`` both call themselves ``terraform_version``."""
OLDEST, TOO_NEW = (1, 11), (2, 0)
"""Of both: write-only attributes came to each of them with its 1.11."""
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
BY_HAND = f"install Terraform or OpenTofu {OLDEST[0]}.{OLDEST[1]} or newer by hand and put it on PATH"
PROGRAM_MODE = 0o755
VERSION_TIMEOUT_S = 30.0
DOWNLOAD_TIMEOUT_S = 60.0
"""Longest silence of the server, in seconds; the archive is 28 MB."""


class TerraformVersionError(ToolError):
    """The Terraform that the user named is missing, broken or not supported."""


class TerraformDownloadError(ToolError):
    """The pinned release of Terraform cannot be had."""


class TerraformChecksumError(ToolError):
    """What was downloaded is not the pinned release."""


@dataclass(frozen=True)
class Release:
    """What a program says that it is.

    Attributes:
        product: Whose it is.
        version: Its version, like ``1.11.4`` or ``1.12.0-rc1``.
    """

    product: Product
    version: str


def find_terraform(world: World) -> Path:
    """Return a supported Terraform or OpenTofu.

    It is the one ``TERRAFORM`` names, else ``terraform`` on PATH, else ``tofu`` on PATH, else the pinned release of
    Terraform in the cache, which is downloaded if it is not there.

    Raises:
        TerraformVersionError: If ``TERRAFORM`` names one that is not supported.
        TerraformDownloadError: If none is here and the pinned release cannot be had.
        TerraformChecksumError: If the download is not the pinned release.
    """
    named = world.environ.get("TERRAFORM")
    if named:
        return _check_named(named, world)
    for name in PROGRAMS:
        on_path = world.find_program(name)
        if on_path is not None and is_supported(release_of(on_path, world.environ)):
            return on_path
    cached = cached_program(world)
    if not os.access(cached, os.X_OK):
        _install(cached, world)
    return cached


def is_near(world: World) -> bool:
    """Return whether a program is on this machine; whether it is one that will do is not asked."""
    on_path = any(world.find_program(name) for name in PROGRAMS)
    return bool(world.environ.get("TERRAFORM")) or on_path or os.access(cached_program(world), os.X_OK)


def cached_program(world: World) -> Path:
    """Return where the pinned release is, or will be."""
    return cache_folder(world.environ) / "terraform" / PINNED_VERSION / "terraform"


def is_supported(release: Release | None) -> bool:
    """Return whether a release is one that Douse is made for."""
    match = re.match(r"(\d+)\.(\d+)\.", release.version) if release is not None else None
    return match is not None and OLDEST <= (int(match[1]), int(match[2])) < TOO_NEW


def release_of(program: Path, environ: Mapping[str, str]) -> Release | None:
    """Return the product and version that a program reports, or ``None`` if it is neither product, or does not run.

    Args:
        program: The program.
        environ: The user's environment.
    """
    # The user's CLI configuration may be missing or name plugins; the version needs none of it.
    quiet = {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    try:
        done = process.run(
            [str(program), "version"],
            timeout_s=VERSION_TIMEOUT_S,
            env=quiet,
            environ=surroundings.for_terraform(environ),
        )
    except (ToolError, OSError):  # OSError: not a program of this machine's format
        return None
    said = FIRST_LINE.match(done.stdout)
    if said is None:
        return None
    return Release("Terraform" if said[1] == "Terraform" else "OpenTofu", said[2])


def _check_named(named: str, world: World) -> Path:
    program = world.find_program(named)
    release = None if program is None else release_of(program, world.environ)
    if program is None or not is_supported(release):
        found = "neither Terraform nor OpenTofu" if release is None else f"{release.product} {release.version}"
        raise TerraformVersionError(
            f"terraform: TERRAFORM={named} is {'missing' if program is None else found}, "
            f"wanted {OLDEST[0]}.{OLDEST[1]} or newer, below {TOO_NEW[0]}.{TOO_NEW[1]}",
            resolution="name a supported Terraform or OpenTofu (TERRAFORM=tofu), or unset TERRAFORM",
        )
    return program.absolute()


def _install(target: Path, world: World) -> None:
    """Download, check and unpack the pinned release; another process sees the whole program or none."""
    machine = platform.machine().lower()
    name = f"{platform.system().lower()}_{MACHINES.get(machine, machine)}"
    if name not in SHA256:
        raise TerraformDownloadError(f"terraform: no release is pinned for {name}", resolution=BY_HAND)
    base = world.environ.get("DOUSE_TERRAFORM_MIRROR") or RELEASES_URL
    file_name = f"terraform_{PINNED_VERSION}_{name}.zip"
    source = f"{base.rstrip('/')}/{PINNED_VERSION}/{file_name}" if "://" in base else str(Path(base) / file_name)
    archive = _read(source, world)
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256[name]:
        raise TerraformChecksumError(
            f"terraform: {source} has sha256 {found[:12]}…, wanted {SHA256[name][:12]}…",
            resolution="repeat the command; if it stays, use another source: set TERRAFORM or DOUSE_TERRAFORM_MIRROR",
        )
    try:
        world.disk.write(target, zipfile.ZipFile(io.BytesIO(archive)).read("terraform"), PROGRAM_MODE)
    except OSError as err:
        raise TerraformDownloadError(
            f"terraform: cannot install in {target.parent}: {err.strerror}",
            resolution="free some disk space, or name another folder with DOUSE_CACHE",
        ) from err


def _read(source: str, world: World) -> bytes:
    """Return the archive at a URL or in a mirror folder; its checksum decides whether it is the right one."""
    import httpx2  # takes its time to import, and is not needed where Terraform is installed

    from runner.cloud_api.network import NO_WAY_OUT, WAY_OUT, no_way_out_words

    try:
        if "://" not in source:
            return Path(source).read_bytes()
        try:
            client = httpx2.Client(transport=world.http_transport(), timeout=DOWNLOAD_TIMEOUT_S, follow_redirects=True)
        except NO_WAY_OUT as err:
            raise TerraformDownloadError(
                f"terraform: none on PATH is supported, and {source} cannot be asked for: {no_way_out_words(err)}",
                resolution=f"{WAY_OUT}; or {BY_HAND}",
            ) from err
        with client:
            return client.get(source).raise_for_status().content
    except (OSError, httpx2.HTTPError, httpx2.InvalidURL) as err:
        raise TerraformDownloadError(
            f"terraform: none on PATH is supported, and {source} cannot be read",
            details=str(err),
            resolution=f"connect to the network, or set DOUSE_TERRAFORM_MIRROR, or {BY_HAND}",
        ) from err
