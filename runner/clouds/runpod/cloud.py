"""RunPod, as shared code knows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from runner.cloud_api.environment import (
    BillApi,
    BilledRun,
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
    from runner.clouds.runpod.api import RunPodCloud

IMAGE = "runpod/base:1.0.2-ubuntu2404"
OUR_PROVIDER = "our own provider rents the machine, and its errors say what the cloud said"


def open_account(environ: Environ, *, timer: Timer) -> RunPodCloud:
    """Return the account that the environment names; raises as ``open_runpod``."""
    from runner.clouds.runpod.api import open_runpod

    return open_runpod(environ, timer=timer)


def endpoint(environ: Environ) -> str:
    """Return the address of the REST API."""
    from runner.clouds.runpod.api import endpoint_in

    return endpoint_in(environ)


def inputs(order: MachineOrder) -> dict[str, Any]:
    """Return the inputs that only this environment takes."""
    from runner.clouds.runpod.start_command import start_command

    has_boot_lease = boot_lease(order.image) is None
    return {
        "create_timeout_s": order.create_timeout_s,
        "delete_timeout_s": order.delete_timeout_s,
        "runpod_image": order.image or IMAGE,
        "runpod_community_enabled": order.trust == "any",
        "runpod_start_command": start_command(order.boot_lease_s) if has_boot_lease else None,
    }


def read_bill(environ: Environ, billed: BilledRun, *, timer: Timer) -> float | None:
    """Return what RunPod bills for the pods of a run, disks included; ``None`` as long as it has no record of one."""
    from runner.clouds.runpod.api import open_runpod

    cloud = open_runpod(environ, timer=timer)
    records = [record for pod_id in billed.machines for record in cloud.bills(pod_id, billed.since, billed.until)]
    return sum(record.total_usd for record in records) if records else None


def boot_lease(image: str | None) -> str | None:
    """Return why a pod with this image has no lease before it is set up, ``None`` where it has one."""
    from runner.clouds.runpod.start_command import why_no_boot_lease

    return why_no_boot_lease(image)


def provider() -> ProviderPart:
    """Return the pod and the listing for our Terraform provider."""
    from runner.clouds.runpod.offers_source import RunPodOffers
    from runner.clouds.runpod.pod import RunPodPod

    return ProviderPart(
        block={
            "runpod_api_key": "RUNPOD_API_KEY",
            "runpod_endpoint": "DOUSE_RUNPOD_ENDPOINT",
            "runpod_graphql_endpoint": "DOUSE_RUNPOD_GRAPHQL_ENDPOINT",
        },
        resources={"douse_runpod_pod": RunPodPod},
        data_sources={"douse_runpod_offers": RunPodOffers},
    )


def read_schemas() -> Sequence[tuple[type[Any], str]]:
    """Return what answers are read into, each with its name in the vendor's file."""
    from runner.clouds.runpod import messages

    return (
        (messages.SshAddress, "PodSshEndpoint"),
        (messages.PodSsh, "PodSsh"),
        (messages.PodGpu, "GpuConfig"),
        (messages.Pod, "Pod"),
        (messages.ListedPod, "Pod"),
        (messages.PodList, "ListPodsResponse"),
        (messages.Gpu, "GpuType"),
        (messages.DataCenter, "DataCenterAvailability"),
        (messages.GpuList, "ListGpuTypesResponse"),
        (messages.ListedVolume, "NetworkVolume"),
        (messages.NetworkVolumeList, "ListNetworkVolumesResponse"),
        (messages.PodBill, "PodBillingRecord"),
        (messages.PodBillList, "ListPodBillingResponse"),
        (messages.Problem, "ErrorResponse"),
    )


RECORD = CloudRecord(
    environment=Environment("runpod", module="runpod", bills=True, lease="api", driver="container"),
    title="RunPod",
    package=__name__.rpartition(".")[0],
    account_words="RUNPOD_API_KEY",
    real_variables=("RUNPOD_", "DOUSE_RUNPOD"),
    open=open_account,
    endpoint=endpoint,
    boot=BootTime(
        15.0,
        1200.0,
        source="15 s with its image on the host (docs.socaity.ai/concepts/cold-starts), up to 20 minutes, for which "
        "dstack waits",
        as_of=date(2026, 11, 21),
    ),
    boot_many_gpus=NotThere("no source distinguishes them"),
    prices=PriceRules(same_everywhere=True),
    published=Published(
        url="https://docs.runpod.io/api-reference-v2/openapi.json",
        version="2.0.0",
        as_of=date(2026, 8, 18),
        read=read_schemas,
        newer=frozenset({"pagination"}),  # as public clients read it since autumn 2026
    ),
    quota=NotThere("neither API has a call for quotas; an order above one is refused"),
    places=NotThere("its machines stand in the cloud's own network"),
    caller_network=NotThere("a pod's port 22 is open to everybody, and only the run's key gets in"),
    default_image=IMAGE,
    hard_end="RunPod itself, by the pod's terminateAfter, which GraphQL alone can set",
    hard_end_goes="RunPod retires GraphQL in early 2027, and no other API sets terminateAfter",
    lease_at_cloud=NotThere("terminateAfter cannot be moved in a living pod; it holds the hard end"),
    boot_lease=boot_lease,
    inputs=inputs,
    secret_inputs=NotThere("a container takes no user data; its host key is pinned at the first login"),
    terraform_error=NotThere(OUR_PROVIDER),
    provider=provider,
    bill=BillApi(read_bill, late_h=2.0),
    own_section=NotThere("the keys that all clouds have say everything about its machines"),
    run_file_words={
        "compute.instance_types": "GPU ids",
        "compute.regions": "data centres",
        "compute.trust": "its Community Cloud",
        "compute.image": "container image",
    },
)
