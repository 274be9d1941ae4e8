"""The client for our Terraform provider, imported when something is asked for: mostly it is started for its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.provider.rental import RentalProvider

if TYPE_CHECKING:
    from runner.clouds.runpod.api import RunPodCloud


def runpod_client(provider: RentalProvider) -> RunPodCloud:
    """Return the account that the provider rents from; raises as ``open_runpod``."""
    from runner.clouds.runpod.api import open_runpod

    return provider.client(open_runpod)
