"""The emulated AWS, as those see it who serve it and rehearse with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.clouds.aws.emulator import module
from runner.clouds.aws.emulator.seed import ACCESS_KEY_ID, OTHER_ACCESS_KEY_ID
from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY, CloudState
from runner.emulation.fault_table import COMMON_FAULTS, CloudFaults
from runner.emulation.service import EmulatedCloud, Module, OnPaper, Service, Setting, Statuses

if TYPE_CHECKING:
    from runner.world import World

REGION = "us-east-1"
ONLY_POD_PORTS = "its machines have an address of their own, no mapped ports"
FAULTS = CloudFaults(
    possible=(COMMON_FAULTS - {"odd_neighbour"})
    | {
        "listing_pages",
        "quota_exceeded",
        "wrong_host_key",
        "leftover_key",
        "leftover_address",
        "stopped_disk_bills",
        "box_stopped_outside",
        "box_rebooted",
        "poweroff_hangs",
    },
    impossible={
        "balance_empty": "it bills later and has no such answer",
        "boot_unhealthy_spell": "its machines are never unhealthy while they boot",
        "ssh_port_unmapped": ONLY_POD_PORTS,
        "runtime_null": ONLY_POD_PORTS,
        "pod_locked": "what protects an instance there has to be set in each request for one",
        "odd_neighbour": "its lists are read by the vendor's own client, and an instance there has all its fields",
        "price_differs": "an instance does not report its price",
        "container_restarted": "its machines are no containers",
        "clock_off": "it refuses whatever a clock so far off has signed, so that no run begins",
    },
    notes={"listing_partial_page": "a first page with nothing on it, and a token"},
)


def build(state: CloudState) -> Service:
    """Return its service."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from runner.clouds.aws.emulator.app import AwsCloud
    from runner.clouds.aws.emulator.instances import AwsInstances

    instances = AwsInstances(state)
    cloud = AwsCloud(state, instances, DomainDispatcherApplication(create_backend_app))
    statuses = Statuses(instances.status, instances.leftovers)
    return Service({"aws": ""}, statuses, is_for_boxes=True, wsgi=cloud)


def build_on_paper(state: CloudState) -> Service:
    """Return its service in memory, without moto; what its own statuses are for is asked of servers alone."""
    from runner.clouds.aws.emulator.paper_service import PaperAws
    from runner.clouds.aws.emulator.states import state_of

    statuses = Statuses(lambda machine: state_of(machine, state.clock()))
    return Service({"aws": "", "control": "/control"}, statuses, is_for_boxes=False, serve=PaperAws(state).serve)


def library(world: World) -> Any:
    """Return what stands in for boto3 in a world."""
    from runner.clouds.aws.simulated import session

    return session.library(world)


def provider(world: World) -> Any:
    """Return what stands in for hashicorp/aws in a world."""
    from runner.clouds.aws.simulated.resources import AwsProvider

    return AwsProvider(world)


def look_up(provider: Any, inputs: Mapping[str, Any]) -> None:
    """Read the root module's data sources."""
    provider.look_up(module.ami_parameter(inputs))


def environment(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that lead a runner there."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": REHEARSAL_KEY,
        "AWS_ENDPOINT_URL": endpoints["aws"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "DOUSE_AWS_REGIONS": REGION,
        "TF_VAR_aws_max_retries": "2",  # an emulated fault does not pass by waiting
        "DOUSE_ADDRESS_URL": endpoints["control"] + "/address",
    }


EMULATED = EmulatedCloud(
    name="aws",
    build=build,
    environment=environment,
    faults=FAULTS,
    settings={
        "active_s": Setting(1.0),  # from launch to `running`
        "end_s": Setting(1.0),  # from the request to end an instance to its end
        "bill_late_s": Setting(86_400.0),  # Cost Explorer shows what was billed so long after
        "session_s": Setting(43_200.0),  # the longest session of a role, whatever was asked for
        "page_size": Setting(2),  # reservations on a page of instances; few, so that rehearsals have pages
    },
    no_account={  # its tools look for an account in files of the user's and, on a machine of its own, at an address
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    },
    other_account={"AWS_ACCESS_KEY_ID": OTHER_ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": OTHER_KEY},
    why_no_logins="an instance terminates itself by powering off, which a login on this machine must not do",
    module=Module(module.planned, module.host, module.MACHINE, provider, look_up),
    keeps_stores=True,
    on_paper=OnPaper(build_on_paper, library, own_settings=("compute.spot_enabled=true",)),
)
