"""Of any list of machines that Lambda may give, a run's own are terminated, all of them, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from runner.cloud_api.labels import leased_name
from runner.clouds.lambda_cloud.api import LambdaCloud
from tests.tools.examples import examples
from tests.tools.odd_values import edges, values
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key
from tests.unit.runner.clouds import neighbours
from tests.unit.runner.clouds.neighbours import ID, OTHER_RUNS, RUN, Entry, foreign_names, no_id, no_text, other_names

FOREIGN_TAGS = ({"key": "douse-runs", "value": RUN}, {"key": "Douse-Run", "value": RUN}, {"key": "run", "value": RUN})
odd_rest = st.fixed_dictionaries(
    {},
    optional={
        "status": edges | st.sampled_from(["active", "booting", "unhealthy", "new"]),
        "ip": edges,
        "region": values,
        "instance_type": values | st.fixed_dictionaries({"price_cents_per_hour": edges}),
        "hostname": values,
    },
)
own_names = st.sampled_from([f"douse-{RUN}", leased_name(RUN, FakeTime().now())])
foreign_tags = st.lists(st.sampled_from(FOREIGN_TAGS), max_size=2)
tags_of = {run_id: [{"key": "douse-run", "value": run_id}] for run_id in (RUN, *OTHER_RUNS)}


def machine(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda rest, known: {"status": "active", **rest, "id": ID, **known}, odd_rest, st.fixed_dictionaries(fields)
    )


tagged = machine(name=foreign_names | edges, tags=foreign_tags.map(lambda more: [*more, *tags_of[RUN]]))
named = machine(name=own_names, tags=st.none() | foreign_tags | no_text)
others = machine(
    name=foreign_names | other_names | own_names,
    tags=st.sampled_from(OTHER_RUNS).map(tags_of.__getitem__),
) | machine(name=other_names, tags=foreign_tags)
foreign = machine(name=foreign_names, tags=st.none() | foreign_tags)
nameless = machine(name=no_text, tags=st.none() | foreign_tags)
without_id = st.builds(lambda entry, odd: entry | {"id": odd}, tagged | named, no_id)
entries: st.SearchStrategy[list[Entry]] = st.lists(
    st.tuples(tagged | named, st.just("ours"))
    | st.tuples(others | foreign, st.just("not ours"))
    | st.tuples(nameless | without_id, st.just("nobody can say"))
    | st.tuples(edges.filter(lambda value: not isinstance(value, dict)), st.just("nobody can say")),
    max_size=6,
)  # type: ignore[assignment]


def account(machines: list[Any]) -> tuple[LambdaCloud, list[str]]:
    """Return an account that lists these machines, and the ids that it is asked to terminate."""
    ended: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            listed = machines if request.url.path.endswith("/instances") else []
            return httpx2.Response(200, content=json.dumps({"data": listed}).replace("\\ud800", "?"))
        asked = json.loads(request.content)["instance_ids"]
        ended.extend(asked)
        return httpx2.Response(200, json={"data": {"terminated_instances": [{"id": one} for one in asked]}})

    time = FakeTime()
    return LambdaCloud(new_key(), pace_s=0.0, timer=time.timer, transport=httpx2.MockTransport(answer)), ended


@examples(250)
@given(entries=entries)
def test_a_run_is_terminated_whole_and_nothing_else(entries: list[Entry]) -> None:
    machines, whose = neighbours.numbered(entries)
    cloud, ended = account(machines)

    neighbours.check(cloud, whose, lambda: ended)
