"""The host contract: what an environment's ``host`` output must look like."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from runner.errors import HostContractError
from runner.run.models import Host

Text = Annotated[str, StringConstraints(min_length=1)]


class HostOutput(BaseModel):
    """The ``host`` object; the same rules as ``infra/contract/host.schema.json``."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    address: Text
    port: int = Field(ge=1, le=65535)
    user: Text
    instance_id: Text
    instance_type: Text
    region: Text
    spot: bool
    price_usd_per_h: float = Field(ge=0)
    host_key: Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+$")] | None
    cloud: Text


def parse_host(value: Any) -> Host:
    """Return the host an environment handed back.

    Raises:
        HostContractError: If a key is missing, unknown, or of another type than the contract says.
    """
    try:
        return Host(**HostOutput.model_validate(value).model_dump())
    except ValidationError as err:
        problem = err.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "host"
        raise HostContractError(
            f"provision: the environment's host output breaks the contract: {where}: {problem['msg'].lower()}",
            details=str(err),
            resolution="compare the environment's outputs.tf with infra/contract/host.schema.json",
        ) from err
