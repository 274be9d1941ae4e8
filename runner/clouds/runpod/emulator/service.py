"""The emulated RunPod, as those see it who serve it and rehearse with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runner.clouds.runpod.emulator import module
from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY, CloudState
from runner.emulation.fault_table import COMMON_FAULTS, CloudFaults
from runner.emulation.service import EmulatedCloud, Logins, Module, Service, Setting, Statuses

if TYPE_CHECKING:
    from runner.emulation.calls import Answer, Call

FAULTS = CloudFaults(
    possible=COMMON_FAULTS
    | {
        "balance_empty",
        "listing_pages",
        "pod_locked",
        "ssh_port_unmapped",
        "runtime_null",
        "price_differs",
        "stopped_disk_bills",
        "box_stopped_outside",
        "container_restarted",
        "clock_off",
    },
    impossible={
        "quota_exceeded": (
            "it has no quota answer: its spend limit reads as no_capacity, an empty account as balance_empty"
        ),
        "boot_unhealthy_spell": "its machines are never unhealthy while they boot",
        "wrong_host_key": "it has no user data: the host key is pinned on first sight",
        "leftover_key": "a run registers no key there",
        "leftover_address": "it has no addresses to reserve",
        "box_rebooted": "a container does not boot: see container_restarted",
        "poweroff_hangs": "its machines are terminated by requests alone",
    },
    notes={"balance_empty": "402"},
)


def build(state: CloudState) -> Service:
    """Return its service: REST v2 and, beside it, the GraphQL API."""
    from runner.clouds.runpod.emulator.app import RunPod
    from runner.clouds.runpod.emulator.graphql import RunPodGraphql
    from runner.clouds.runpod.emulator.pods import Pods
    from runner.emulation.calls import as_app

    pods = Pods(state)
    rest_api, graphql_api = RunPod(state, pods), RunPodGraphql(state, pods)
    other_state = state.another()
    other_pods = Pods(other_state)
    rest_api.another = RunPod(other_state, other_pods)
    graphql_api.another = RunPodGraphql(other_state, other_pods)

    def serve(call: Call) -> Answer:
        return (graphql_api if call.path == "/graphql" else rest_api).serve(call)

    def show(endpoints: Mapping[str, str]) -> None:
        pods.box_env = dict(_addresses(endpoints))

    paths = {"runpod": "/v2", "runpod_graphql": "/graphql"}
    return Service(paths, Statuses(pods.status), is_for_boxes=True, show_boxes=show, asgi=as_app(serve), serve=serve)


def environment(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that lead a runner there; a pod has its port from the API."""
    there, logins = {"RUNPOD_API_KEY": REHEARSAL_KEY, **_addresses(endpoints)}, Logins.read(endpoints)
    return there if logins is None else {**there, "DOUSE_RUNPOD_USER": logins.user}


def _addresses(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "DOUSE_RUNPOD_ENDPOINT": endpoints["runpod"],
        "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": endpoints["runpod_graphql"],
    }


EMULATED = EmulatedCloud(
    name="runpod",
    build=build,
    environment=environment,
    faults=FAULTS,
    settings={
        "pull_s": Setting(0.4),  # from launch to STARTING
        "start_s": Setting(0.4),  # from STARTING to RUNNING
        "ports_s": Setting(0.4),  # from RUNNING to mapped ports
        "per_minute": Setting(60),  # quota of requests
        "page_size": Setting(2),  # pods on a page; few, so that every rehearsal of a few pods has pages
    },
    no_account={},  # a key in a variable is the only way to one, and a rehearsal takes that away
    other_account={"RUNPOD_API_KEY": OTHER_KEY},
    why_no_logins=None,
    module=Module(module.planned, module.host, "douse_runpod_pod"),
)
