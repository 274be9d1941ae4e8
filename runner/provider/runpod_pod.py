"""A pod on RunPod."""

from __future__ import annotations

from typing import ClassVar

from runner.provider.machine import INPUTS, OUTPUTS
from runner.provider.rental import RentalProvider
from runner.provider.resource import Resource
from runner.provider.schema import NUMBER, STRING, Attr, Attrs, list_of, map_of


class RunPodPod(Resource[RentalProvider]):
    """A pod on RunPod, created when sshd answers in it. It bills from launch until it is destroyed."""

    attrs: ClassVar[Attrs] = {
        **INPUTS,
        "image": Attr(STRING, "Container image; it has to start sshd by itself.", required=True, replace=True),
        "disk_size_gib": Attr(NUMBER, "Container disk, in GiB.", required=True, replace=True),
        "cloud_type": Attr(STRING, "SECURE or COMMUNITY.", default="SECURE", replace=True),
        "ports": Attr(list_of(STRING), "Ports to open, like 22/tcp.", default=["22/tcp"], replace=True),
        "env": Attr(map_of(STRING), "Variables of the container.", optional=True, replace=True),
        "env_wo": Attr(map_of(STRING), "Secret variables of the container.", optional=True, write_only=True),
        "ssh_public_key": Attr(STRING, "Public key that may log in as root.", required=True, replace=True),
        "terminate_at": Attr(
            STRING, "When RunPod ends the pod by itself, UTC, like 2026-11-21T18:00:00Z.", optional=True, replace=True
        ),
        **OUTPUTS,
    }
