"""A notice to try out who gets them: where it arrived, and where not and why."""

from __future__ import annotations

from runner.adapters.notices.order import Notice
from runner.adapters.notices.sender import folder_of, has_receivers, order_of, post
from runner.adapters.packages import provide
from runner.errors import UsageError
from runner.run.host_words import one_line
from runner.run.notices_section import ADDRESSES_VARIABLE, NoticesSection
from runner.world import World

TEST = Notice("test", "notify-test", "Douse: a test", "This is where the notices of your runs arrive.")


def send_test(section: NoticesSection, world: World) -> bool:
    """Send a notice to everybody who gets those of a run file, print a line for each, and return whether all got it.

    Raises:
        UsageError: If nobody gets any.
        ExtraError: If what sends them cannot be installed.
    """
    if not has_receivers(section, world):
        raise UsageError(
            f"notify-test: nobody gets notices: the run file has no notices.urls and no notices.command, and "
            f"{ADDRESSES_VARIABLE} is not set",
            resolution=f"export {ADDRESSES_VARIABLE}='ntfy://<topic>', or see docs/notices.md",
        )
    provide("notices", print)
    found = post(order_of(TEST, section, folder_of(world)), world)
    for one in found:
        mark = "sent" if one.problem is None else "not sent"
        print(one_line(f"{mark:12} {one.receiver}{'' if one.problem is None else f': {one.problem}'}"))
    return bool(found) and all(one.problem is None for one in found)
