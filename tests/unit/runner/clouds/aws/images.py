"""A machine image for what moto rents."""

from __future__ import annotations

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends


def any_image(region: str) -> str:
    """Return the id of one of moto's own images; to have all 1,300 listed takes it two seconds."""
    return str(next(iter(ec2_backends[DEFAULT_ACCOUNT_ID][region].amis)))
