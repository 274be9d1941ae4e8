"""A machine image for what moto rents."""

from __future__ import annotations

from moto.ec2.models import ec2_backends

from runner.clouds.aws.emulator.seed import ACCOUNT, seed


def any_image(region: str) -> str:
    """Return the id of an image that the emulated account has in a region."""
    seed(region)
    return str(next(iter(ec2_backends[ACCOUNT][region].amis)))
