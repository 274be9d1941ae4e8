"""A machine on Lambda Cloud."""

from __future__ import annotations

from typing import ClassVar

from runner.provider.machine import INPUTS, OUTPUTS
from runner.provider.rental import RentalProvider
from runner.provider.resource import Resource
from runner.provider.schema import NUMBER, STRING, Attr, Attrs, map_of


class LambdaInstance(Resource[RentalProvider]):
    """A machine on Lambda Cloud, created when sshd answers on it. It bills from launch until it is destroyed."""

    attrs: ClassVar[Attrs] = {
        **INPUTS,
        "ssh_key_name": Attr(STRING, "Name of the registered key that may log in.", required=True, replace=True),
        "user_data_wo": Attr(STRING, "Cloud-config for the first boot; kept nowhere.", optional=True, write_only=True),
        "user_data_version": Attr(NUMBER, "Change it to have the user data used again.", optional=True, replace=True),
        "tags": Attr(map_of(STRING), "Tags; Lambda cannot change them later.", optional=True, replace=True),
        "ssh_user": Attr(STRING, "User to log in as.", default="ubuntu"),
        **OUTPUTS,
    }
