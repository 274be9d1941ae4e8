"""What a cloud said, where it comes to us through Terraform, whose errors are words alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import CLOUDS
from runner.errors import (
    NEVER_UP,
    NONE_NOW,
    NOTHING_RENTED,
    REFUSALS,
    CloudError,
    NeverUpError,
    NoCapacityError,
    ReclaimedError,
    TerraformError,
)

LATER = "name more in compute.instance_types or compute.regions, or wait for one: compute.wait_minutes"

ANOTHER = "try again: `make resume` asks for others first, and compute.recoveries goes on by itself"


@contextmanager
def in_its_words(cloud: str) -> Iterator[None]:
    """Raise the cloud's own "no" in place of Terraform's failure in this block, where its words hold one."""
    try:
        yield
    except TerraformError as err:
        cause = cause_of(cloud, err)
        if cause is None:
            raise
        raise cause from err


def cause_of(cloud: str, err: TerraformError) -> CloudError | None:
    """Return the cloud's own "no" behind a failure of Terraform's, or ``None`` where its words hold none."""
    if NONE_NOW in (err.details or ""):
        return NoCapacityError(err.message, details=err.details, resolution=LATER)
    if NEVER_UP in (err.details or ""):
        message, _, _ = err.message.partition(f": {NEVER_UP}")
        return NeverUpError(message, details=err.details, resolution=ANOTHER)
    record = CLOUDS.get(cloud)
    if record is None or isinstance(record.terraform_error, NotThere):
        return None
    return record.terraform_error(err.details or err.message)


def is_definite(cloud: str, err: TerraformError) -> bool:
    """Return whether the cloud itself said no; after any other failure a machine may be on its way into the listing."""
    cause = cause_of(cloud, err)
    was_refused = isinstance(cause, REFUSALS) and not isinstance(cause, ReclaimedError)
    return NOTHING_RENTED in (err.details or err.message) or was_refused
