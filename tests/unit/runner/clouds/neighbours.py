"""What stands beside a run's own resources in an account: other runs' and other people's, and what nobody can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from hypothesis import strategies as st

from runner.cloud_api.models import Cloud, Resource
from runner.errors import CloudError
from runner.safety.patience import Patience
from runner.safety.terminate import terminate_run
from tests.tools.odd_values import edges

RUN = "20261121-015500-tiny-aaaa"
OTHER_RUNS = (
    "20261121-015500-tiny-aaab",
    "20261121-015500-tiny",
    "20261121-015500-tiny-aaaa-b",
    "20261121-015500-tiny-aaaa-bbbb",
    "20261121-015501-tiny-aaaa",
    "20261121-015500-tin",
)
"""Ids that begin, end or go on as ours does."""
FOREIGN_NAMES = ("", "mine", "douse", "Douse-" + RUN, "xdouse-" + RUN, " douse-" + RUN, RUN, "douse_" + RUN, "dousé")
Whose = Literal["ours", "not ours", "nobody can say"]
"""Of an entry of a list, as it was made: whether it is the run's."""
Entry = tuple[Any, Whose]
ID = object()
"""Stands where an entry has an id of its own."""

other_names = st.sampled_from([f"douse-{run_id}" for run_id in OTHER_RUNS])
foreign_names = st.sampled_from(FOREIGN_NAMES)
no_text = edges.filter(lambda value: value is not None and not isinstance(value, str))
no_id = edges.filter(lambda value: not isinstance(value, str) or not value)


def numbered(entries: Iterable[Entry]) -> tuple[list[Any], dict[str, Whose]]:
    """Return the entries with ids in the place of ``ID``, and by id whose each is; one without an id keeps none."""
    made, whose = [], dict[str, Whose]()
    for number, (entry, of) in enumerate(entries):
        has_id = isinstance(entry, dict) and entry.get("id") is ID
        made.append(entry | {"id": f"id-{number}"} if has_id else entry)
        whose[f"id-{number}"] = of
    return made, whose


def check(cloud: Cloud, whose: dict[str, Whose], ended: Callable[[], Iterable[str]]) -> None:
    """Fail unless all that is the run's is asked to end, nothing else is, and what nobody can say is reported.

    Args:
        cloud: The account that lists them.
        whose: By id, whose each is.
        ended: Returns the ids that the account was asked to end.
    """
    wanted = {one for one, of in whose.items() if of == "ours"}
    is_doubtful = "nobody can say" in whose.values()
    try:
        seen = terminate_run(
            cloud, RUN, outcome_unknown=False, wait=lambda seconds: None, patience=Patience(longest_s=0.0)
        )
    except CloudError:
        assert is_doubtful or not wanted
        assert not list(ended())
        return
    assert set(ended()) == wanted == ids(seen.left)
    assert bool(seen.unread) == is_doubtful
    assert seen.is_proved == (not wanted and not is_doubtful)


def ids(found: Iterable[Resource]) -> set[str]:
    return {one.id for one in found}
