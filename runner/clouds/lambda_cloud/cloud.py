"""Lambda Cloud, as shared code knows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from runner.cloud_api.environment import (
    BootTime,
    CloudRecord,
    Environment,
    MachineOrder,
    NotThere,
    PriceRules,
    ProviderPart,
    Published,
)

if TYPE_CHECKING:
    from runner.cloud_api.credentials import Environ
    from runner.cloud_api.pacing import Timer
    from runner.clouds.lambda_cloud.api import LambdaCloud

GUIDE = "github.com/NousResearch/hermes-agent, its guide to Lambda's troubles"
OUR_PROVIDER = "our own provider rents the machine, and its errors say what the cloud said"


def open_account(environ: Environ, *, timer: Timer) -> LambdaCloud:
    """Return the account that the environment names; raises as ``open_lambda``."""
    from runner.clouds.lambda_cloud.api import open_lambda

    return open_lambda(environ, timer=timer)


def endpoint(environ: Environ) -> str:
    """Return the address of the API."""
    from runner.clouds.lambda_cloud.api import endpoint_in

    return endpoint_in(environ)


def inputs(order: MachineOrder) -> dict[str, Any]:
    """Return the inputs that only this environment takes."""
    from runner.adapters.keys import public_key

    return {
        "create_timeout_s": order.create_timeout_s,
        "delete_timeout_s": order.delete_timeout_s,
        "lambda_first_lease_s": order.boot_lease_s,
        "lambda_host_key": public_key(order.host_key),
    }


def secret_inputs(order: MachineOrder) -> dict[str, str]:
    """Return the user data: it holds the host key, and is an ephemeral variable that is kept nowhere."""
    from runner.adapters.user_data import cloud_config

    return {"lambda_user_data": cloud_config(order.host_key)}


def provider() -> ProviderPart:
    """Return the machine, its key and the listing for our Terraform provider."""
    from runner.clouds.lambda_cloud.instance import LambdaInstance
    from runner.clouds.lambda_cloud.offers_source import LambdaOffers
    from runner.clouds.lambda_cloud.ssh_key import LambdaSshKey

    return ProviderPart(
        block={"lambda_api_key": "LAMBDA_API_KEY", "lambda_endpoint": "DOUSE_LAMBDA_ENDPOINT"},
        resources={"douse_lambda_ssh_key": LambdaSshKey, "douse_lambda_instance": LambdaInstance},
        data_sources={"douse_lambda_offers": LambdaOffers},
    )


def read_schemas() -> Sequence[tuple[type[Any], str]]:
    """Return what answers are read into, each with its name in the vendor's file."""
    from runner.clouds.lambda_cloud import messages

    return (
        (messages.Region, "Region"),
        (messages.Specs, "InstanceTypeSpecs"),
        (messages.InstanceType, "InstanceType"),
        (messages.ListedType, "InstanceTypesItem"),
        (messages.Tag, "TagEntry"),
        (messages.Instance, "Instance"),
        (messages.SshKey, "SSHKey"),
        (messages.ListedInstance, "Instance"),
        (messages.ListedKey, "SSHKey"),
        (messages.ListedFileSystem, "Filesystem"),
        (messages.Launched, "InstanceLaunchResponse"),
        (messages.Ended, "InstanceTerminateResponse"),
        (messages.EndedInstance, "Instance"),
        (messages.Refused, "ApiErrorInsufficientCapacity"),
    )


RECORD = CloudRecord(
    environment=Environment("lambda", module="lambda", bills=True, driver="verify"),
    title="Lambda",
    package=__name__.rpartition(".")[0],
    account_words="LAMBDA_API_KEY",
    real_variables=("LAMBDA_", "DOUSE_LAMBDA_ENDPOINT"),
    open=open_account,
    endpoint=endpoint,
    boot=BootTime(180.0, 300.0, expected_s=240.0, source=f"3 to 5 minutes ({GUIDE})", as_of=date(2026, 11, 21)),
    boot_many_gpus=BootTime(600.0, 900.0, source=f"10 to 15 minutes ({GUIDE})", as_of=date(2026, 11, 21)),
    prices=PriceRules(same_everywhere=True, gpuhunt_name="lambdalabs"),
    published=Published(
        url="https://cloud.lambda.ai/api/v1/openapi.json",
        version="1.10.0",
        as_of=date(2026, 8, 22),
        read=read_schemas,
    ),
    quota=NotThere("the API has no call for quotas; a launch above one is refused"),
    places=NotThere("its machines stand in the cloud's own network"),
    caller_network=NotThere("the firewall belongs to the account, for all of its machines, and is left alone"),
    default_image=NotThere("Lambda Stack, which the cloud chooses"),
    # No key of a machine's own can be made that may do so little, and a machine that is shut down bills on.
    hard_end=NotThere(
        "a machine cannot terminate itself: the lease stops the trainer, and a sweep terminates the rest"
    ),
    hard_end_goes=NotThere("there is none that could go"),
    lease_at_cloud="the end of the machine's name",
    boot_lease=NotThere("user data could shut a machine down, and one that is shut down bills on"),
    inputs=inputs,
    secret_inputs=secret_inputs,
    terraform_error=NotThere(OUR_PROVIDER),
    provider=provider,
    bill=NotThere("its API has no bill: the console shows it, under Usage"),
    own_section=NotThere("the keys that all clouds have say everything about its machines"),
    open_inputs=("lambda_user",),
)
