"""The provider: its block, what it offers, and the clients that all its resources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from runner.clouds.lambda_cloud.instance import LambdaInstance
from runner.clouds.lambda_cloud.ssh_key import LambdaSshKey
from runner.clouds.runpod.pod import RunPodPod
from runner.provider.offers import LambdaOffers, RunPodOffers
from runner.provider.rental import RentalProvider
from runner.provider.resource import DataSource, Resource


class DouseProvider(RentalProvider):
    """Machines with GPUs on Lambda and RunPod, for people who pay for them.

    Leave the keys out of the configuration: what stands there ends up in plan files. LAMBDA_API_KEY and
    RUNPOD_API_KEY, or LAMBDA_API_KEY_FILE and RUNPOD_API_KEY_FILE, are read from the environment.
    """

    resources: ClassVar[Mapping[str, type[Resource[Any]]]] = {
        "douse_lambda_ssh_key": LambdaSshKey,
        "douse_lambda_instance": LambdaInstance,
        "douse_runpod_pod": RunPodPod,
    }
    data_sources: ClassVar[Mapping[str, type[DataSource[Any]]]] = {
        "douse_lambda_offers": LambdaOffers,
        "douse_runpod_offers": RunPodOffers,
    }
