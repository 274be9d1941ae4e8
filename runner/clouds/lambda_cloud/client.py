"""The client for our Terraform provider, imported when something is asked for: mostly it is started for its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.provider.rental import RentalProvider

if TYPE_CHECKING:
    from runner.clouds.lambda_cloud.api import LambdaCloud


def lambda_client(provider: RentalProvider) -> LambdaCloud:
    """Return the account that the provider rents from; raises as ``open_lambda``."""
    from runner.clouds.lambda_cloud.api import open_lambda

    return provider.client(open_lambda)
