"""The emulated Lambda Cloud, as those see it who serve it and rehearse with it."""

from __future__ import annotations

from collections.abc import Mapping

from runner.clouds.lambda_cloud.emulator import module
from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY, CloudState
from runner.emulation.fault_table import COMMON_FAULTS, CloudFaults
from runner.emulation.service import EmulatedCloud, Logins, Module, Service, Setting, Statuses

ONLY_POD_PORTS = "its machines have an address of their own, no mapped ports"
NO_STOP = "its machines cannot be stopped, only terminated"
FAULTS = CloudFaults(
    possible=COMMON_FAULTS
    | {
        "quota_exceeded",
        "balance_empty",
        "boot_unhealthy_spell",
        "price_differs",
        "wrong_host_key",
        "leftover_key",
        "box_rebooted",
        "clock_off",
    },
    impossible={
        "pod_locked": "it has no locks",
        "ssh_port_unmapped": ONLY_POD_PORTS,
        "runtime_null": ONLY_POD_PORTS,
        "listing_pages": "its lists have no pages (API 1.10.0)",
        "leftover_address": "it has no addresses to reserve",
        "stopped_disk_bills": NO_STOP,
        "box_stopped_outside": NO_STOP,
        "container_restarted": "its machines are no containers",
        "poweroff_hangs": "its machines are terminated by requests alone",
    },
    notes={
        "balance_empty": "403, account inactive",
        "key_forbidden": "may not list, for its keys have no scopes",
    },
)


def build(state: CloudState) -> Service:
    """Return its service."""
    from runner.clouds.lambda_cloud.emulator.app import ROOT, LambdaCloud

    cloud = LambdaCloud(state)
    cloud.another = LambdaCloud(state.another())
    return Service({"lambda": ROOT}, Statuses(cloud.status), is_for_boxes=False, asgi=cloud.app(), serve=cloud.serve)


def environment(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that lead a runner there; the client gives no ports, so that of logins has a variable."""
    there = {"LAMBDA_API_KEY": REHEARSAL_KEY, "DOUSE_LAMBDA_ENDPOINT": endpoints["lambda"]}
    logins = Logins.read(endpoints)
    if logins is None:
        return there
    return {**there, "DOUSE_LAMBDA_SSH_PORT": str(logins.port), "TF_VAR_lambda_user": logins.user}


EMULATED = EmulatedCloud(
    name="lambda",
    build=build,
    environment=environment,
    faults=FAULTS,
    settings={
        "address_s": Setting(0.5),  # from launch to an address
        "active_s": Setting(1.0),  # from launch to `active`
        "end_s": Setting(1.0),  # from the request to end an instance to its end
        "shown_s": Setting(2.0),  # how long an instance that has ended is shown as such
        "pace_s": Setting(1.0, "DOUSE_LAMBDA_PACE_S"),  # the general pace, one request; a launch takes 12 of them
    },
    no_account={},  # a key in a variable is the only way to one, and a rehearsal takes that away
    other_account={"LAMBDA_API_KEY": OTHER_KEY},
    why_no_logins=None,
    module=Module(module.planned, module.host, "douse_lambda_instance"),
)
