"""A public key registered with Lambda Cloud."""

from __future__ import annotations

from typing import ClassVar

from runner.provider.rental import RentalProvider
from runner.provider.resource import Resource
from runner.provider.schema import STRING, Attr, Attrs


class LambdaSshKey(Resource[RentalProvider]):
    """A public key registered with Lambda Cloud, which a machine can name at launch."""

    attrs: ClassVar[Attrs] = {
        "id": Attr(STRING, "Lambda's id of the key.", computed=True),
        "name": Attr(STRING, "Unique name, at most 64 characters.", required=True, replace=True),
        "public_key": Attr(STRING, "One line of an OpenSSH public key.", required=True, replace=True),
    }
