"""Available machines, as a data source of our Terraform provider."""

from __future__ import annotations

from typing import ClassVar

from runner.clouds.runpod.client import runpod_client
from runner.provider.offers import ATTRS, values_of
from runner.provider.rental import RentalProvider
from runner.provider.resource import Ctx, DataSource
from runner.provider.schema import Attrs, Values


class RunPodOffers(DataSource[RentalProvider]):
    """Machines that RunPod lists, cheapest first."""

    attrs: ClassVar[Attrs] = ATTRS

    def read(self, ctx: Ctx, config: Values) -> Values:
        """Return the list."""
        return values_of(runpod_client(self.provider).offers())
