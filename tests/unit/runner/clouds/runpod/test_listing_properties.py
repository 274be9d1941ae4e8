"""Of any list of pods that RunPod may give, over any pages, a run's own are deleted, all of them, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from runner.clouds.runpod.api import RunPodCloud
from tests.tools.examples import examples
from tests.tools.odd_values import edges, values
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key
from tests.unit.runner.clouds import neighbours
from tests.unit.runner.clouds.neighbours import ID, OTHER_RUNS, RUN, Entry, foreign_names, no_id, no_text, other_names

foreign_env = st.fixed_dictionaries(
    {}, optional={"DOUSE": st.just(RUN), "douse_run": st.just(RUN), "RUN": st.just(RUN), "DOUSE_RUNS": edges}
)
odd_rest = st.fixed_dictionaries(
    {},
    optional={
        "status": edges | st.sampled_from(["RUNNING", "PROVISIONING", "EXITED", "NEW"]),
        "dataCenterId": edges,
        "cost": edges,
        "disk": edges,
        "ssh": values | st.fixed_dictionaries({"direct": values}),
    },
)


def pod(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda rest, known: {"status": "RUNNING", **rest, "id": ID, **known}, odd_rest, st.fixed_dictionaries(fields)
    )


def env_of(*run_ids: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda more, run_id: more | {"DOUSE_RUN": run_id}, foreign_env, st.sampled_from(run_ids))


own_name = st.just(f"douse-{RUN}")
ours = pod(name=foreign_names | edges, env=env_of(RUN)) | pod(name=own_name, env=foreign_env | no_text.filter(bool))
others = pod(name=foreign_names | other_names | own_name, env=env_of(*OTHER_RUNS)) | pod(
    name=other_names, env=foreign_env
)
foreign = pod(name=foreign_names, env=foreign_env)
nameless = pod(name=no_text | st.none(), env=foreign_env) | pod(
    name=foreign_names, env=edges.filter(lambda value: not isinstance(value, dict))
)
without_id = st.builds(lambda entry, odd: entry | {"id": odd}, ours, no_id)
entries: st.SearchStrategy[list[Entry]] = st.lists(
    st.tuples(ours, st.just("ours"))
    | st.tuples(others | foreign, st.just("not ours"))
    | st.tuples(nameless | without_id, st.just("nobody can say"))
    | st.tuples(edges.filter(lambda value: not isinstance(value, dict)), st.just("nobody can say")),
    max_size=6,
)  # type: ignore[assignment]


def account(pods: list[Any], page: int) -> tuple[RunPodCloud, list[str]]:
    """Return an account that lists these pods, so many on a page, and the ids that it is asked to delete."""
    ended: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            ended.append(request.url.path.rsplit("/", 1)[1])
            return httpx2.Response(204)
        if request.url.path.endswith("/network-volumes"):
            return httpx2.Response(200, json={"networkVolumes": []})
        begin = int(request.url.params.get("cursor", "0"))
        end = begin + page
        following = str(end) if end < len(pods) else None
        pagination = {"hasNextPage": following is not None, "nextCursor": following}
        content = json.dumps({"pods": pods[begin:end], "pagination": pagination})
        return httpx2.Response(200, content=content.replace("\\ud800", "?"))

    time = FakeTime()
    return RunPodCloud(new_key(), timer=time.timer, transport=httpx2.MockTransport(answer)), ended


@examples(250)
@given(entries=entries, page=st.integers(1, 7))
def test_a_run_is_terminated_whole_and_nothing_else(entries: list[Entry], page: int) -> None:
    pods, whose = neighbours.numbered(entries)
    cloud, ended = account(pods, page)

    neighbours.check(cloud, whose, lambda: ended)
