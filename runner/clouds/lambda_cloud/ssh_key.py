"""A public key registered with Lambda Cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from runner.clouds.lambda_cloud.client import lambda_client
from runner.provider.machine import LONGEST_NAME
from runner.provider.rental import RentalProvider
from runner.provider.resource import Ctx, ProblemError, TerraformResource
from runner.provider.schema import STRING, Attr, Attrs, Values

if TYPE_CHECKING:
    from runner.clouds.lambda_cloud.messages import SshKey


class LambdaSshKey(TerraformResource[RentalProvider]):
    """A public key registered with Lambda Cloud, which a machine can name at launch."""

    attrs: ClassVar[Attrs] = {
        "id": Attr(STRING, "Lambda's id of the key.", computed=True),
        "name": Attr(STRING, "Unique name, at most 64 characters.", required=True, replace=True),
        "public_key": Attr(STRING, "One line of an OpenSSH public key.", required=True, replace=True),
    }

    def validate(self, ctx: Ctx, config: Values) -> None:
        """Report what Lambda would refuse."""
        name, key = config["name"], config["public_key"]
        if isinstance(name, str) and not 1 <= len(name) <= LONGEST_NAME:
            ctx.error(f"name must have 1 to {LONGEST_NAME} characters", f"It has {len(name)}.", "name")
        if isinstance(key, str) and "PRIVATE KEY" in key:
            ctx.error("public_key is a private key", "Give the line of the file that ends in .pub.", "public_key")
        elif isinstance(key, str) and len(key.split()) < 2:
            ctx.error("public_key must be one line of an OpenSSH public key", "", "public_key")

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Register it; the same key under the same name is taken over."""
        key = lambda_client(self.provider).add_key(planned["name"], planned["public_key"])
        return {**planned, "id": key.id}

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Return it; another key under its id shows as a change."""
        key = self._find(state["id"])
        if key is None:
            return None
        same = key.holds(state["public_key"])
        return {**state, "name": key.name, "public_key": state["public_key"] if same else key.public_key}

    def delete(self, ctx: Ctx, state: Values) -> None:
        """Remove it; one that is gone is fine."""
        lambda_client(self.provider).delete_key(state["id"])

    def import_by_id(self, ctx: Ctx, resource_id: str) -> Values:
        """Return the state of a key that is registered."""
        key = self._find(resource_id)
        if key is None:
            raise ProblemError(
                f"lambda: there is no SSH key {resource_id}",
                resolution="run `terraform import` with an id that Lambda's console lists",
            )
        return {"id": key.id, "name": key.name, "public_key": key.public_key}

    def _find(self, key_id: str) -> SshKey | None:
        registered = lambda_client(self.provider).keys()
        return next((key for key in registered if key.id == key_id), None)
