"""What the emulated clouds share: machines with their boxes and meters, faults, requests, one clock, one lock."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from runner.emulation.box_data import with_dead_gpu, with_hanging_shutdown, without_host_key
from runner.emulation.fault_table import MACHINE_TRAITS, CloudFaults
from runner.emulation.faults import FaultQueue, Queued, Stage
from runner.emulation.machines import BoxOrder, EmulatedMachine, Leftover, Yard
from runner.emulation.meters import Meter
from runner.emulation.requests_log import RequestsLog
from runner.emulation.runner_process import RunnerProcess
from runner.errors import RunnerError

Clock = Callable[[], float]
REHEARSAL_KEY = "rehearsal-key-0123456789abcdef"
"""The key that the emulated clouds take; made up and known to everybody, never anybody's own."""
OTHER_KEY = "rehearsal-key-of-another-account"
"""The key of another account, in which there is nothing."""
Settings = Mapping[str, float]
"""Durations and quotas of an emulated cloud, by names of its own."""
OnEnd = Callable[[EmulatedMachine], None]


class CloudState:
    """Everything that exists on the emulated clouds, in one account of each.

    What exists in other accounts is in ``others``.

    Every method wants the lock to be held (``with state.turn():``), which also brings the state up to date.
    """

    def __init__(
        self,
        yard: Yard,
        clock: Clock,
        *,
        faults: Mapping[str, CloudFaults],
        settings: Mapping[str, Settings],
        has_real_boxes: bool = True,
        keeps_requests: bool = True,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        """Begin with nothing.

        Args:
            yard: Where boxes come from.
            clock: Seconds since the epoch.
            faults: What every cloud says of faults, those that are not served as well.
            settings: Those of each cloud that is served, by its name.
            has_real_boxes: Whether boxes are machines of their own.
            keeps_requests: Whether anybody is going to ask what was asked.
            token: Returns so many bytes that nobody can guess, as hexadecimal digits: ids and keys are made of them.
        """
        self.yard, self.clock, self.token = yard, clock, token
        self.clouds, self.settings = tuple(settings), settings
        self.faults = FaultQueue(faults, served=self.clouds, has_real_boxes=has_real_boxes)
        self.requests = RequestsLog(is_kept=keeps_requests)
        self.runner = RunnerProcess()
        self.others: list[CloudState] = []
        self.machines: dict[str, EmulatedMachine] = {}
        self.leftovers: dict[str, Leftover] = {}
        self.user_data: dict[str, str] = {}
        self.on_end: dict[str, OnEnd] = {}
        self.on_action: dict[str, Callable[[EmulatedMachine, str], None]] = {}
        self.is_end_asked: dict[str, bool] = {}
        self._lock = threading.RLock()
        self._boxes = 0
        self._orders: dict[str, BoxOrder] = {}
        self._off_s: dict[str, float] = {}
        self._down_until: dict[str, float] = {}
        self._to_cut_off: list[EmulatedMachine] = []
        self._exited: deque[tuple[EmulatedMachine, str]] = deque()

    def catch_up(self) -> None:
        """Bring everything up to date, and do no more."""
        if self.machines or self._exited:
            with self._lock:
                self._catch_up(self.clock())

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Hold the lock, bring everything up to date, and give the time."""
        with self._lock:
            now = self.clock()
            self._catch_up(now)
            yield now

    def fault(self, name: str, cloud: str, on: str = "") -> Queued | None:
        """Fire a queued fault if it is due now."""
        if self.faults.peek(name, cloud) is None:
            return None  # the rule, and soon said
        return self.faults.take(name, cloud, at=self.clock(), on=on, stages=self._stages(cloud))

    def kill_after_create(self, cloud: str, on: str) -> None:
        """Kill the runner, or its Terraform alone, if that is due the moment a machine has been made."""
        if self.fault("kill_runner@after_create", cloud, on) is not None:
            self.runner.kill()
        if self.fault("kill_terraform@create", cloud, on) is not None:
            self.runner.kill_terraform()

    def is_down(self, cloud: str, on: str) -> bool:
        """Return whether a cloud answers nothing for now; the fault begins with the request that it hits."""
        began = self.fault("api_down", cloud, on)
        if began is not None:
            self._down_until[cloud] = self.clock() + began.number("seconds")
        return self.clock() < self._down_until.get(cloud, 0.0)

    def off_s(self, cloud: str, on: str = "") -> float:
        """Return how far a cloud's clock is ahead, in seconds; the fault begins with the request that it hits."""
        began = self.fault("clock_off", cloud, on)
        if began is not None:
            self._off_s[cloud] = began.number("hours") * 3600
        return self._off_s.get(cloud, 0.0)

    def another(self) -> CloudState:
        """Return another account of the same clouds, in which there is nothing and nothing goes wrong."""
        other = CloudState(
            self.yard,
            self.clock,
            faults=self.faults.clouds,
            settings=self.settings,
            keeps_requests=self.requests.is_kept,
            token=self.token,
        )
        self.others.append(other)
        return other

    def traits(self, cloud: str, on: str) -> dict[str, Queued]:
        """Return the faults that a machine is born with; each has fired by that."""
        found = {name: self.fault(name, cloud, on) for name in MACHINE_TRAITS}
        return {name: queued for name, queued in found.items() if queued is not None}

    def of(self, cloud: str) -> list[EmulatedMachine]:
        """Return the machines of one cloud, oldest first, ended ones as well."""
        return [machine for machine in self.machines.values() if machine.cloud == cloud]

    def rent(self, machine: EmulatedMachine, order: BoxOrder) -> None:
        """Take a machine into the books and boot its box; from here on it bills.

        Raises:
            RunnerError: If the box cannot be made; the books are as before.
        """
        self.boot(machine, order)
        self.machines[machine.id] = machine
        if "ssh_never_answers" in machine.traits:
            self._to_cut_off.append(machine)
        for name in ("spot_notice", "box_killed", "box_stopped_outside", "box_deleted_in_console"):
            if name in machine.traits:
                machine.remind(machine.active_at + machine.traits[name].number("after_s"), name)

    def boot(self, machine: EmulatedMachine, order: BoxOrder) -> None:
        """Boot a machine's box, its first or, after a stop, its next: a VM from its disk, a container anew.

        Raises:
            RunnerError: If the box cannot be made.
        """
        box = machine.box if machine.box is not None and order.kind == "vm" else self._new_box(machine)
        self._boot(machine, box, order)

    def restart(self, machine: EmulatedMachine) -> None:
        """Let a machine's box lose all that runs on it, and boot it again from its disk, a container's as well.

        Raises:
            RunnerError: If the box cannot be made.
        """
        if machine.box is not None:
            self.yard.kill(machine.box)
            self._boot(machine, machine.box, self._orders[machine.id])

    def _boot(self, machine: EmulatedMachine, box: str, order: BoxOrder) -> None:
        self._orders[machine.id], data = order, order.user_data
        if data is not None:
            self.user_data[machine.id] = data
        if "wrong_host_key" in machine.traits:
            data = without_host_key(data)
        if "dead_gpu" in machine.traits:
            data = with_dead_gpu(data)
        if "poweroff_hangs" in machine.traits:
            data = with_hanging_shutdown(data)
        machine.address = self.yard.boot(
            box,
            kind=order.kind,
            user=order.user,
            public_keys=order.public_keys,
            user_data=data,
            env=order.env,
            command=order.command,
            on_exit=lambda: self._exited.append((machine, box)),  # the yard's own thread: never takes the lock
        )
        machine.box, machine.is_box_dead = box, False

    def _new_box(self, machine: EmulatedMachine) -> str:
        if machine.box is not None:
            self.yard.remove(machine.box)
        self._boxes += 1
        return f"{machine.cloud[0]}{self._boxes}-{machine.id[-6:].lower()}"

    def end(self, machine: EmulatedMachine, by: str, *, after_s: float) -> None:
        """Accept the end of a machine: it bills on until it is gone, ``after_s`` from now.

        One that is ending by a request is gone sooner where the cloud or somebody else ends it sooner.
        """
        is_sooner = by != "request" and self.clock() + after_s < (machine.ends_at or 0.0)
        if machine.ends_at is None or is_sooner:
            slow = self.fault("terminate_slow", machine.cloud, machine.id) if by == "request" else None
            machine.ends_at = self.clock() + (slow.number("seconds") if slow else after_s)
            machine.ended_by = by
        self._catch_up(self.clock())

    def stop(self, machine: EmulatedMachine) -> None:
        """Stop a machine: its box ends, its disk bills on."""
        machine.is_stopped = True
        machine.bill_disk_alone(self.clock())
        self._drop_box(machine, vanish=True)

    def take_back(self, machine: EmulatedMachine) -> None:
        """Let the cloud reclaim a machine."""
        machine.is_taken_back = True
        self.end(machine, "reclaimed by the cloud", after_s=0.0)

    def vanish(self, machine: EmulatedMachine) -> None:
        """Let a machine's box vanish without a word; the cloud bills on."""
        self._drop_box(machine, vanish=True)

    def keep(self, leftover: Leftover) -> None:
        """Put something besides machines into the books."""
        self.leftovers[leftover.id] = leftover

    def drop(self, leftover_id: str) -> Leftover | None:
        """Take something out of the books; its meter ends."""
        leftover = self.leftovers.pop(leftover_id, None)
        if leftover is not None and leftover.meter is not None:
            leftover.meter.stop(self.clock())
        return leftover

    def new_meter(self, usd_per_h: float) -> Meter:
        """Return a meter that starts now."""
        return Meter(self.clock(), usd_per_h)

    def refuses(self, candidate: str, cloud: str) -> bool:
        """Return whether a cloud has no capacity for a candidate now, by a fault."""
        return self.faults.refuses(candidate, cloud, self.clock(), stages=self._stages(cloud))

    def _stages(self, cloud: str) -> list[Stage]:
        stages: list[Stage] = ["any"]
        if any(not machine.is_ended for machine in self.of(cloud)):
            stages.append("machine")
        if any(machine.ends_at is not None for machine in self.of(cloud)) or self.is_end_asked.get(cloud):
            stages.append("ended")
        return stages

    def _catch_up(self, now: float) -> None:
        while self._exited:
            machine, box = self._exited.popleft()
            if machine.box == box and not machine.is_box_dead and not machine.is_ended:
                machine.is_box_dead = True
                self.act(machine, "shutdown")
        if self._to_cut_off:
            self._to_cut_off = [machine for machine in self._to_cut_off if not self._cut_off(machine)]
        for machine in [one for one in self.machines.values() if one.ended_at is None]:
            if not machine.is_due(now):
                continue  # the rule, and soon said
            while machine.due and machine.due[0][0] <= now and not machine.is_ended:
                self._happen(machine, machine.due.pop(0)[1])
            if machine.is_ending and machine.ends_at is not None and machine.ends_at <= now:
                self._finish(machine, machine.ends_at)

    def _cut_off(self, machine: EmulatedMachine) -> bool:
        """Cut a box off the network; one that is still too young for that gets another turn."""
        if machine.box is None or machine.is_box_dead:
            return True
        try:
            self.yard.partition(machine.box, True)
        except RunnerError:
            return False
        return True

    def _happen(self, machine: EmulatedMachine, what: str) -> None:
        if what == "box_killed":
            self.vanish(machine)
        elif what == "box_deleted_in_console":
            self.end(machine, "deleted in the console", after_s=0.0)
        elif what == "box_stopped_outside":
            self.act(machine, "stop")
        elif what == "spot_notice" and machine.traits["spot_notice"].number("notice_s") > 0:
            self.act(machine, "notice")
            machine.remind(self.clock() + machine.traits["spot_notice"].number("notice_s"), "preempt")
        else:
            self.act(machine, "preempt" if what == "spot_notice" else what)

    def act(self, machine: EmulatedMachine, action: str) -> None:
        """Do what happens to a machine, as its cloud does it.

        That is ``stop``, ``notice``, ``preempt``, ``shutdown``, or what the cloud itself has put on its timer.
        """
        handler = self.on_action.get(machine.cloud)
        if handler is not None:
            handler(machine, action)
        elif action == "stop":
            self.stop(machine)
        elif action == "preempt":
            self.take_back(machine)

    def _finish(self, machine: EmulatedMachine, at: float) -> None:
        machine.ended_at = at
        machine.bill_no_more(at)
        self._drop_box(machine, vanish=False)
        if machine.cloud in self.on_end:
            self.on_end[machine.cloud](machine)

    def _drop_box(self, machine: EmulatedMachine, *, vanish: bool) -> None:
        machine.is_box_dead = True
        if machine.box is None:
            return
        try:
            if vanish:
                self.yard.kill(machine.box)
            else:
                self.yard.remove(machine.box)
        except RunnerError as err:
            machine.ended_by += f" (box: {err.message})"
