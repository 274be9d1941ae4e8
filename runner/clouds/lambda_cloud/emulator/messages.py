"""Lambda Cloud API v1 (1.10.0): the bodies it takes, and nothing else."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from runner.emulation.calls import Strict

USER_DATA_LIMIT = 1_000_000
Name = Annotated[str, StringConstraints(max_length=64)]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Tag(Strict):
    """A tag of an instance."""

    key: Annotated[str, StringConstraints(max_length=55, pattern=r"^[a-z][a-z0-9-:]+$")]
    value: Annotated[str, StringConstraints(max_length=128)]


class Mount(Strict):
    """Where a file system is mounted."""

    mount_point: Annotated[
        str, StringConstraints(max_length=256, pattern=r"^(/home|/lambda/nfs|/data)[//a-zA-Z0-9-]*$")
    ]
    file_system_id: str


class ImageById(Strict):
    """An image by its id."""

    id: str


class ImageByFamily(Strict):
    """The newest image of a family."""

    family: str


class Ruleset(Strict):
    """A firewall ruleset."""

    id: str


class Launch(Strict):
    """Body of ``POST /instance-operations/launch``."""

    region_name: str
    instance_type_name: str
    ssh_key_names: Annotated[list[str], Field(min_length=1, max_length=1)]
    name: Name | None = None
    hostname: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][0-9a-z-]{0,62}$")] | None = None
    file_system_names: tuple[str, ...] = ()
    file_system_mounts: tuple[Mount, ...] = ()
    image: ImageById | ImageByFamily | None = None
    user_data: Annotated[str, StringConstraints(max_length=USER_DATA_LIMIT)] | None = None
    tags: tuple[Tag, ...] = ()
    firewall_rulesets: tuple[Ruleset, ...] = ()


class InstanceIds(Strict):
    """Body of ``POST /instance-operations/terminate`` and ``…/restart``."""

    instance_ids: Annotated[list[str], Field(min_length=1)]


class Rename(Strict):
    """Body of ``POST /instances/{id}``."""

    name: Name


class NewKey(Strict):
    """Body of ``POST /ssh-keys``."""

    name: KeyName
    public_key: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None


class NewFilesystem(Strict):
    """Body of ``POST /filesystems``."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[a-zA-Z]+[0-9a-zA-Z-]*$")]
    region: str
