"""Our Terraform provider: one block, and the resources of all clouds that it rents from, as their records say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import CLOUDS
from runner.provider.rental import SECRET_END, RentalProvider, block_attrs
from runner.provider.resource import DataSource, TerraformResource
from runner.provider.schema import Attrs

PARTS = {record.title: record.provider() for record in CLOUDS.values() if not isinstance(record.provider, NotThere)}
VARIABLES = {name: variable for part in PARTS.values() for name, variable in part.block.items()}
KEYS = [variable for name, variable in VARIABLES.items() if name.endswith(SECRET_END)]
KEY_FILES = [f"{name}_FILE" for name in KEYS]
AND = " and "


class DouseProvider(RentalProvider):
    """Machines with GPUs of all clouds for which there is no provider of the vendor's own."""

    variables: ClassVar[Mapping[str, str]] = VARIABLES
    attrs: ClassVar[Attrs] = block_attrs(VARIABLES)
    resources: ClassVar[Mapping[str, type[TerraformResource[Any]]]] = {
        name: kind for part in PARTS.values() for name, kind in part.resources.items()
    }
    data_sources: ClassVar[Mapping[str, type[DataSource[Any]]]] = {
        name: kind for part in PARTS.values() for name, kind in part.data_sources.items()
    }


# What Terraform shows as the description of the provider block.
DouseProvider.__doc__ = f"""Machines with GPUs on {AND.join(PARTS)}, for people who pay for them.

    Leave the keys out of the configuration: what stands there ends up in plan files. {AND.join(KEYS)}, or
    {AND.join(KEY_FILES)}, are read from the environment.
    """
