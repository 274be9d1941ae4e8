"""The most that a run's machine may cost, for people: until when, who keeps that end, and its end if left alone."""

from __future__ import annotations

from runner.cloud_api.environment import NotThere
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS
from runner.run.planned import Plan


def most_words(plan: Plan) -> str:
    """Return the most that any machine of a plan may cost until its end; nothing where no end is planned."""
    dearest = plan.dearest
    if dearest is None or dearest.most_usd is None or dearest.hard_end_h is None:
        return ""
    return end_words(dearest.most_usd, dearest.hard_end_h, "" if dearest is plan.first else dearest.identity.name)


def end_words(most_usd: float, hours: float, dearest: str = "") -> str:
    """Return the most that a machine may cost until its end.

    Args:
        most_usd: That, in US dollars.
        hours: Hours from the request for the machine to its end.
        dearest: Name of the machine, where it is not the first that is tried.
    """
    which = f" ({dearest}, the dearest)" if dearest else ""
    return f"${most_usd:.2f}{which} until its end after {hours:.1f} h, its disk included"


def keeper_words(environment: str, usd_per_h: float) -> str:
    """Return who terminates a machine at its end when nobody is awake here, and what it costs where nobody does.

    Args:
        environment: The cloud.
        usd_per_h: What the machine costs at most, in US dollars an hour.
    """
    record = CLOUDS.get(environment)
    if record is None:
        return ""
    if not isinstance(record.hard_end, NotThere):
        return f"kept by {record.hard_end}"
    return (
        f"{record.title} itself terminates nothing then: without this computer or a sweep it bills on, "
        f"${24 * usd_per_h:.2f} a day"
    )


def rights_words(plan: Plan) -> str:
    """Return what opens the store to the machine besides keys for the run's folder; nothing where nothing does."""
    if plan.given_remotes:
        names = " and ".join(plan.given_remotes)
        return (
            f"the machine is given rclone's {names} of your configuration, in its memory: whoever is root there can "
            "read what opens all of it"
        )
    if plan.own_rights is None:
        return ""
    return f"when nobody renews its keys, the machine opens the store with all rights of {plan.own_rights}"


def idle_words(minutes: float, environment: str) -> str:
    """Return when a machine that was left alone ends after training: by its own lease, else by the run's guard."""
    keeps_lease = find_environment(environment).lease != "none"
    ends = "it shuts down" if keeps_lease else "its guard, while this computer is awake, terminates it"
    return (
        f"left alone (DETACH=1, a closed terminal), {ends} {minutes:g} min after its trainer has ended: "
        "what is not home or in a store by then is lost"
    )
