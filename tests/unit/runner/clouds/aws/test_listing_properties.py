"""Of whatever EC2 and the Scheduler may list in a region, what carries the run's mark is ended, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.cloud_api.models import Account, Kind, Listing, Offer, Quota, Resource
from runner.clouds.aws.listing import listing_in
from runner.clouds.aws.schedules import schedules_in
from tests.tools.examples import examples
from tests.unit.runner.clouds.neighbours import OTHER_RUNS, RUN, Entry, Whose, check, foreign_names, other_names

Tags = list[dict[str, str]]
LISTS: Mapping[str, tuple[str, str, Kind]] = {
    "describe_instances": ("Reservations", "InstanceId", "instance"),
    "describe_spot_instance_requests": ("SpotInstanceRequests", "SpotInstanceRequestId", "spot_request"),
    "describe_volumes": ("Volumes", "VolumeId", "volume"),
    "describe_addresses": ("Addresses", "AllocationId", "address"),
    "describe_security_groups": ("SecurityGroups", "GroupId", "security_group"),
    "describe_key_pairs": ("KeyPairs", "KeyPairId", "key"),
}
STATES: Mapping[str, list[dict[str, Any]]] = {
    "describe_instances": [
        {},
        *({"State": state} for state in ({}, {"Name": "running"}, {"Name": "new"}, {"Code": 16})),
    ],
    "describe_spot_instance_requests": [{}, {"State": "open"}, {"State": "disabled"}, {"State": "new"}],
    "describe_volumes": [{}, {"State": "in-use"}, {"State": "new"}],
}
"""What is not over by any of these is there; ``new`` is a state that was not known when this was written."""
own_name = st.just(f"douse-{RUN}")
foreign_tags = st.lists(
    st.sampled_from([{"Key": "douse-runs", "Value": RUN}, {"Key": "Douse-Run", "Value": RUN}, {"Key": "x"}, {}]),
    max_size=2,
)


def tagged(*run_ids: str, names: st.SearchStrategy[str]) -> st.SearchStrategy[Tags]:
    return st.builds(
        lambda more, run_id, name: [*more, {"Key": "douse-run", "Value": run_id}, {"Key": "Name", "Value": name}],
        foreign_tags,
        st.sampled_from(run_ids),
        names,
    )


def entry(tags: st.SearchStrategy[Tags]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.builds(
        lambda listed, tags: (listed[0], {**listed[1], "Tags": tags}),
        st.sampled_from([(operation, state) for operation in LISTS for state in STATES.get(operation, [{}])]),
        tags,
    )


entries: st.SearchStrategy[list[Entry]] = st.lists(
    st.tuples(entry(tagged(RUN, names=foreign_names | other_names | own_name)), st.just("ours"))
    | st.tuples(entry(tagged(*OTHER_RUNS, names=foreign_names | own_name)), st.just("not ours"))
    | st.tuples(entry(foreign_tags), st.just("not ours"))
    | st.tuples(
        st.tuples(
            st.just("list_schedules"), st.builds(lambda name: {"Name": name}, other_names | foreign_names.filter(bool))
        ),
        st.just("not ours"),
    )
    | st.tuples(
        st.tuples(st.sampled_from([*LISTS, "list_schedules"]), st.sampled_from([{}, {"Name": 5}, {"Tags": []}])),
        st.just("nobody can say"),
    ),
    max_size=6,
)  # type: ignore[assignment]


class Client:
    """EC2 and the Scheduler of one region, as boto3 hands their answers over."""

    def __init__(self, listed: dict[str, list[dict[str, Any]]]) -> None:
        self.listed = listed

    def can_paginate(self, operation: str) -> bool:
        return False

    def list_schedules(self, **asked: Any) -> dict[str, Any]:
        return {"Schedules": self.listed.get("list_schedules", [])}

    def __getattr__(self, operation: str) -> Any:
        found = self.listed.get(operation, [])
        whole = [{"Instances": [one]} for one in found] if operation == "describe_instances" else found
        return lambda **asked: {LISTS[operation][0]: whole}


class Region:
    """An account of one region whose resources are ended by being written down."""

    name = "aws"

    def __init__(self, listed: dict[str, list[dict[str, Any]]]) -> None:
        self.client, self.ended = Client(listed), list[str]()

    def listing(self) -> Listing:
        machines, schedules = (
            listing_in(self.client, "us-east-1", lambda *_: None),
            schedules_in(self.client, "us-east-1"),
        )
        return Listing(machines.resources + schedules.resources, machines.unread + schedules.unread)

    def end(self, resource: Resource) -> None:
        self.ended.append(resource.id)

    def account(self) -> Account:
        return Account(self.name, "1")

    def fingerprint(self, salt: str) -> str:
        return "1"

    def offers(self, trust: str = "secure") -> list[Offer]:
        return []

    def quotas(self, offers: object) -> dict[Offer, Quota]:
        return {}

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        raise AssertionError("nobody moves a lease here")


def in_lists(made: list[Entry]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Whose]]:
    """Return what each call lists, and by id whose each is; where nobody can say, there is no id."""
    listed: dict[str, list[dict[str, Any]]] = {}
    whose: dict[str, Whose] = {}
    for number, ((operation, fields), of) in enumerate(made):
        entry, own = dict(fields), f"id-{number}"
        if of != "nobody can say" and operation in LISTS:
            entry |= {LISTS[operation][1]: own, "KeyName": f"key-{number}"}
        listed.setdefault(operation, []).append(entry)
        whose[own] = of
    return listed, whose


@examples(250)
@given(made=entries)
def test_a_run_is_terminated_whole_and_nothing_else(made: list[Entry]) -> None:
    listed, whose = in_lists(made)
    region = Region(listed)

    check(region, whose, lambda: region.ended)  # type: ignore[arg-type]
