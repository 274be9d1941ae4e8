"""How often what goes wrong in a simulated life, and where each number is from.

Rates are far above what is seen in the field: a life is there to find what breaks, not to be typical. Where a source
gives an order of magnitude, the rate is that times ``BOOST``, so that a life of some dozens of requests meets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BOOST = 10.0
"""So much more often than in the field."""


@dataclass(frozen=True)
class Rates:
    """Chances, each between 0 and 1.

    Attributes:
        requests: What happens to a request to a cloud, and how often.
        cloud_faults: How many faults of the emulator's own catalogue a life has, each count as likely as the others.
        seldom: How often a fault that is drawn stays, where it makes a life as dear as ten others.
        boot_s: Seconds that a machine takes to boot, from and to.
        boot_skew: How much nearer to the shortest most are: what chance draws between 0 and 1 is raised to this power.
        steps: How many steps a training has, each as likely as the others.
        step_s: Seconds of a step, likewise.
        crash: A process of the user's is killed at one of its calls of the world.
        kill: The runner is killed at some time.
        kill_guard: The guard is killed with it.
        lid: The computer sleeps for a while.
        cut: The computer is off the network for a while.
        interrupt: The user presses Ctrl-C.
        twice: And presses it again soon after.
        hang_up: The terminal is closed.
        stopped: The user presses Ctrl-Z, and thinks of it later.
        stay_away: Nobody ever comes back.
        other_key: Whoever comes back has another account's key first, or none.
        box_dies: The machine vanishes.
        play_fails: Ansible fails.
        trainer_dies: The trainer is killed on its machine.
        terraform_dies: Terraform is killed while it works.
        folder_damaged: A file of the run's folder is damaged while nobody drives it.
        narrow: Of all that is drawn, two acts stay besides the last command.
        neighbour: Where nothing goes wrong on the cloud's side, somebody else rents a machine in the same account.
        shared_turns: The processes of the computer take turns at the cloud, as the command line lets them; else the
            cloud refuses what comes too fast.
    """

    requests: tuple[tuple[str, float], ...]
    cloud_faults: tuple[int, ...]
    seldom: Mapping[str, float]
    boot_s: tuple[float, float]
    boot_skew: float
    steps: tuple[int, ...]
    step_s: tuple[float, ...]
    crash: float
    kill: float
    kill_guard: float
    lid: float
    cut: float
    interrupt: float
    twice: float
    hang_up: float
    stopped: float
    stay_away: float
    other_key: float
    box_dies: float
    play_fails: float
    trainer_dies: float
    terraform_dies: float
    folder_damaged: float
    narrow: float
    neighbour: float
    shared_turns: float


HARSH = Rates(
    # Errors of 0.1 to 0.5 % of requests are what large clouds publish as their service levels (99.5 to 99.9 %).
    requests=(
        ("unsent", 0.002 * BOOST / 4),
        ("lost", 0.001 * BOOST / 4),
        ("answer lost", 0.002 * BOOST / 4),
        ("late", 0.001 * BOOST / 4),
        ("500", 0.002 * BOOST / 4),
        ("503", 0.002 * BOOST / 4),
        ("429", 0.002 * BOOST / 4),
        ("challenge", 0.0005 * BOOST / 4),
    ),
    cloud_faults=(0, 0, 1, 1, 2),  # the catalogue's faults are each documented in docs/rehearsal.md, with their reports
    # A listing of which an entry cannot be read is so for the rest of the 48 hours, and a guard asks again each minute.
    seldom={"odd_neighbour": 0.2},
    # Vendors and users name half a minute to five minutes. A runner that waits asks the same again and again: what
    # breaks between two questions does so in the first minute as well. A fifth takes more than two minutes.
    boot_s=(10.0, 240.0),
    boot_skew=3.0,
    # With the longest steps a training takes longer than a lease (900 s), with most of the others longer than a beat
    # and a poll: what a runner does in the tenth minute of a training is what it did in the second.
    steps=(4, 4, 10, 10, 20),
    step_s=(5.0, 5.0, 5.0, 5.0, 5.0, 15.0, 15.0, 15.0, 40.0, 40.0, 150.0),
    crash=0.25,  # no field number: the protocol has to hold at every call, so a quarter of all lives tries one
    kill=0.25,
    kill_guard=0.2,  # KillUserProcesses and out-of-memory killers take both; seen on shared machines
    lid=0.2,
    cut=0.15,
    interrupt=0.2,
    twice=0.4,
    hang_up=0.1,
    stopped=0.08,
    stay_away=0.2,
    other_key=0.1,  # several accounts on one computer
    box_dies=0.05,  # community machines: a few percent of runs in public reports
    play_fails=0.05,
    trainer_dies=0.05,
    terraform_dies=0.08,
    folder_damaged=0.08,
    # Nearly all that was found so far needed one act or two (tests/simulation/seeds.txt): beside five others they are
    # hidden as often as not, for a run that was killed early meets nothing later.
    narrow=0.5,
    neighbour=0.4,
    shared_turns=0.3,
)


@dataclass(frozen=True)
class MoreRates:
    """Chances of acts that few lives have, each between 0 and 1; no field numbers, for each is there for its code.

    Attributes:
        setting: The run file has a setting that most have not.
        guard_alone: The guard is killed, and its runner is not.
        sweep_beside: Somebody sweeps while the runner is at work, or later.
        by_hand: The steps are typed one by one.
        detached: The runner leaves once training runs.
        damaged_more: A further file of the run's folder is damaged.
        on_the_side: The user types a command that belongs to no life in order.
        full_disk: Something else fills the user's disk, for a while.
        story: Several acts belong together.
        rarer_story: A life without one has a story of what else would hardly ever happen.
        own_setting: The run file has a setting that only a run on its cloud has.
    """

    setting: float
    guard_alone: float
    sweep_beside: float
    by_hand: float
    detached: float
    damaged_more: float
    on_the_side: float
    full_disk: float
    story: float
    rarer_story: float
    own_setting: float


MORE = MoreRates(
    setting=0.15,
    guard_alone=0.08,
    sweep_beside=0.1,
    by_hand=0.08,
    detached=0.08,
    damaged_more=0.06,
    on_the_side=0.12,
    full_disk=0.06,
    story=0.2,
    rarer_story=0.06,
    own_setting=0.25,
)


@dataclass(frozen=True)
class StoreRates:
    """How often what goes wrong with a run's store, and how long it takes.

    Attributes:
        has_one: The run has a store; none of what else a seed draws depends on it.
        requests: What happens to a request after boto3 has tried it again, and how often.
        troubles: What the store does for a while, and how often; for how long it does.
        damages: How it damages the newest checkpoint, and how often.
        way_s: Seconds of a request's way there, and back.
        big_s: Seconds of an object as big as weights are, each as likely as the others.
        late_s: Seconds of an answer that is late.
        busy_s: Seconds in which boto3 has asked a store again and again that sends it away.
        give_up_s: Seconds until boto3 gives up on one that does not answer.
    """

    has_one: float
    requests: tuple[tuple[str, float], ...]
    troubles: tuple[tuple[str, float], ...]
    trouble_s: tuple[float, ...]
    damages: tuple[tuple[str, float], ...]
    way_s: float
    big_s: tuple[float, ...]
    late_s: float
    busy_s: float
    give_up_s: float


STORE = StoreRates(
    has_one=0.15,
    # Amazon's service level is 99.9 % of requests; boto3 tries each of them nine times, so that hardly one should fail
    # once more after that. A life has some fifty requests to its store.
    requests=(
        ("store down", 0.001 * BOOST / 4),
        ("store busy", 0.001 * BOOST / 4),
        ("store mute", 0.001 * BOOST / 4),
        ("store late", 0.001 * BOOST / 4),
    ),
    troubles=(
        ("store down", 0.15),
        ("store busy", 0.1),
        ("store denies", 0.1),
        ("store mute", 0.08),
        ("store late", 0.05),
    ),
    trouble_s=(20.0, 300.0, 300.0, 1800.0, 5 * 3600.0),  # outages of Amazon's own lasted up to five hours (2017-02-28)
    damages=(("store spoils", 0.06), ("store cuts", 0.04), ("store loses", 0.04)),  # no field number; disks do, rarely
    way_s=0.05,
    big_s=(0.2, 1.0, 5.0, 20.0),  # 60 MB of weights and optimizer at 3 to 300 MB/s
    late_s=45.0,
    busy_s=40.0,  # eight waits of boto3's standard mode, of up to 20 s
    give_up_s=30.0,
)
