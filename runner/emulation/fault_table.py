"""Every fault of the emulated clouds: its name, what it does, what can be set; and what a cloud says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Argument = str | float | int | bool
GENERAL_ARGUMENTS: Mapping[str, Argument] = {"cloud": "", "after": 0, "when": "any"}
"""Arguments of every fault: the cloud it is for (else the first that it fits), how many fitting requests pass before it
fires, and the stage: ``any``, ``machine`` (a machine is there) or ``ended`` (the end of one was asked for)."""


@dataclass(frozen=True)
class Fault:
    """A fault of the catalogue.

    Attributes:
        name: Its name in the catalogue.
        does: What happens, in one sentence.
        arguments: What can be set, with the default (which also gives the type).
        needs_real_box: Whether it acts on the network or the programs of a box.
        step: Of one inside a machine: the step of the run that has to go on, as ``kill_runner@<step>`` has them.
    """

    name: str
    does: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    needs_real_box: bool = False
    step: str = "train"


COMMON_FAULTS = frozenset(
    {
        "launch_500_after_create",
        "launch_rate_limited",
        "no_capacity",
        "key_invalid",
        "key_forbidden",
        "boot_never_active",
        "ssh_never_answers",
        "dead_gpu",
        "kill_runner@before_create",
        "kill_runner@after_create",
        "kill_terraform@create",
        "listing_schema_changed",
        "listing_empty_body",
        "listing_500",
        "listing_partial_page",
        "listing_lags",
        "odd_neighbour",
        "api_down",
        "terminate_500",
        "terminate_slow",
        "terminate_ignored",
        "already_gone",
        "terminate_rate_limited",
        "kill_runner@destroy",
        "leftover_volume",
        "spot_notice",
        "box_killed",
        "box_deleted_in_console",
        "lease_killed",
        "disk_full_on_box",
        "box_deleted_after_store",
        "network_partition",
        "network_lost",
        "ssh_dropped",
    }
)
"""What every emulated cloud can do wrong so far; each adds its own."""


@dataclass(frozen=True)
class CloudFaults:
    """What one cloud says of the catalogue: every fault is in ``possible`` or in ``impossible``.

    Attributes:
        possible: Names of the faults that can happen there.
        impossible: Why each of the others cannot.
        notes: How a fault looks there, where that differs from its sentence.
    """

    possible: frozenset[str]
    impossible: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


_CREATE = (
    Fault(
        "launch_500_after_create",
        "the machine is made and bills, the answer is a 500, or with lost=true no answer at all",
        arguments={"lost": False},
    ),
    Fault(
        "launch_rate_limited", "too many requests: the launch is refused, then a poll of the machine once it is there"
    ),
    Fault(
        "no_capacity",
        "listed as available, refused at launch: the first `candidates` different ones, or `all`, "
        "for `lasts_s` seconds (0: for good)",
        arguments={"candidates": "1", "lasts_s": 0.0},
    ),
    Fault("quota_exceeded", "the account's quota is used up"),
    Fault("balance_empty", "the account has no money left, or is inactive for unpaid bills"),
    Fault("key_invalid", "the key is refused at launch (at=any: by every request)", arguments={"at": "launch"}),
    Fault("key_forbidden", "the key is good, but may not launch"),
    Fault("boot_never_active", "the machine never gets beyond booting, and bills"),
    Fault(
        "boot_unhealthy_spell",
        "the machine reads `unhealthy` for a while before it is active",
        arguments={"seconds": 4.0},
    ),
    Fault("ssh_never_answers", "active, but nothing answers at its address", needs_real_box=True),
    Fault("ssh_port_unmapped", "RUNNING, but port 22 is never mapped"),
    Fault("runtime_null", "RUNNING, but `runtime` stays null"),
    Fault(
        "dead_gpu",
        "active, sshd and nvidia-smi are fine, CUDA is not (error 802): the box boots with a dead GPU",
        needs_real_box=True,
    ),
    Fault(
        "price_differs",
        "the machine bills at `factor` times the listed price, and says so",
        arguments={"factor": 2.0},
    ),
    Fault("wrong_host_key", "the machine shows another host key than the one in its user data"),
    Fault("kill_runner@before_create", "SIGKILL to the runner's process tree; no machine is made"),
    Fault("kill_runner@after_create", "the machine is made and bills, then SIGKILL to the runner's process tree"),
    Fault("kill_terraform@create", "the machine is made and bills, then SIGKILL to the runner's Terraform alone"),
)

_LISTING = (
    Fault("listing_schema_changed", "a list of machines whose field has another name"),
    Fault("listing_empty_body", "a list of machines that is 200 with nothing in it, not even a list"),
    Fault("listing_500", "a list of machines answers 500"),
    Fault("listing_partial_page", "a list of machines breaks off in the middle"),
    Fault("listing_pages", "a list of machines comes in pages of one"),
    Fault("listing_lags", "a new machine is absent from the list for a while", arguments={"seconds": 5.0}),
    Fault("odd_neighbour", "a list of machines has one of somebody else's with nothing where its fields should be"),
    Fault(
        "clock_off",
        "the cloud's clock is `hours` ahead of this computer's, or with a negative number behind it",
        arguments={"hours": 2.0},
    ),
    Fault("api_down", "for so many seconds the cloud answers nothing but 503", arguments={"seconds": 20.0}),
)

_DESTROY = (
    Fault("terminate_500", "the request to terminate a machine answers 500, and the machine keeps running"),
    Fault("terminate_slow", "the machine takes long to terminate, and bills until then", arguments={"seconds": 15.0}),
    Fault("terminate_ignored", "the cloud accepts the request to terminate, and the machine keeps running"),
    Fault("pod_locked", "someone has locked the machine in the console: the request to terminate it is refused"),
    Fault("already_gone", "someone else terminated the machine a moment before: the request finds nothing"),
    Fault("terminate_rate_limited", "too many requests: the request to terminate a machine is refused"),
    Fault(
        "kill_runner@destroy",
        "SIGKILL to the runner's process tree when it requests termination; the machine keeps running",
    ),
    Fault("leftover_volume", "a volume of the run stays behind and bills until it is looked for"),
    Fault("leftover_key", "the cloud confirms the deletion of a key, and the key stays"),
    Fault("leftover_address", "an address of the run stays behind and bills"),
    Fault("stopped_disk_bills", "terminating a machine only stops it: its disk keeps billing"),
)

_TRAIN = (
    Fault(
        "spot_notice",
        "`after_s` after it is active the cloud reclaims the machine, with `notice_s` of notice (0: none)",
        arguments={"after_s": 0.0, "notice_s": 0.0},
    ),
    Fault(
        "box_killed", "`after_s` after it is active the machine vanishes, and keeps billing", arguments={"after_s": 0.0}
    ),
    Fault(
        "box_stopped_outside",
        "`after_s` after it is active someone stops the machine in the console",
        arguments={"after_s": 0.0},
    ),
    Fault(
        "box_deleted_in_console",
        "`after_s` after it is active someone terminates the machine in the console",
        arguments={"after_s": 0.0},
    ),
)

_INSIDE = (
    Fault("lease_killed", "SIGKILL to the lease's program on the machine"),
    Fault("box_rebooted", "the machine loses its power, and boots again from its disk", needs_real_box=True),
    Fault(
        "container_restarted",
        "the container loses every process, and starts again with the same disk",
        needs_real_box=True,
    ),
    Fault("disk_full_on_box", "the machine's disk has no byte left", needs_real_box=True),
    Fault("box_deleted_after_store", "someone terminates the machine in the console", step="store"),
    Fault("network_partition", "the machine is cut off the network for 30 s", needs_real_box=True),
    Fault("network_lost", "the machine is cut off the network for good, and works on", needs_real_box=True),
    Fault("ssh_dropped", "every login on the machine is killed, and its sshd takes new ones", needs_real_box=True),
)

_END = (
    Fault(
        "poweroff_hangs",
        "a service on the machine never stops, and with it no shutdown from inside ends",
        needs_real_box=True,
    ),
)

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for fault in (*_CREATE, *_LISTING, *_DESTROY, *_TRAIN, *_END, *_INSIDE)
}

INSIDE = tuple(fault.name for fault in _INSIDE)
"""Faults of a machine that trains: who rehearses brings them about, for no request to the cloud begins them."""

MACHINE_TRAITS = (
    "boot_never_active",
    "boot_unhealthy_spell",
    "ssh_never_answers",
    "ssh_port_unmapped",
    "runtime_null",
    "dead_gpu",
    "price_differs",
    "wrong_host_key",
    "listing_lags",
    "leftover_volume",
    "leftover_address",
    "poweroff_hangs",
    *(fault.name for fault in _TRAIN),
)
"""Faults that a machine is born with: they fire at launch and shape its life."""


def sentence(fault: Fault, clouds: Mapping[str, CloudFaults]) -> str:
    """Return the effect of a fault, with its form on these clouds."""
    notes = [f"{name}: {said.notes[fault.name]}" for name, said in clouds.items() if fault.name in said.notes]
    return f"{fault.does} ({'; '.join(notes)})" if notes else fault.does
