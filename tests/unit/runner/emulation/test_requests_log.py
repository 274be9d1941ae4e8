"""The record of requests: there for whoever asks for it, and not made where nobody will."""

from __future__ import annotations

import pytest

from runner.emulation.calls import Call
from runner.emulation.cloud_state import REHEARSAL_KEY, CloudState
from runner.emulation.paper_yard import PaperYard
from runner.rehearsal.services import emulated_clouds, known_faults


@pytest.mark.parametrize("keeps", [True, False])
def test_requests_are_kept_where_somebody_will_ask_for_them(keeps: bool) -> None:
    cloud = emulated_clouds()["lambda"]
    settings = {"lambda": {name: setting.default for name, setting in cloud.settings.items()}}
    state = CloudState(PaperYard(), lambda: 1e9, faults=known_faults(), settings=settings, keeps_requests=keeps)
    serve = cloud.build(state).serve
    assert serve is not None

    answer = serve(Call("GET", "/api/v1/instances", headers={"authorization": f"Bearer {REHEARSAL_KEY}"}))

    assert answer.status == 200
    assert [one.path for one in state.requests.all()] == (["/api/v1/instances"] if keeps else [])
    assert state.another().requests.is_kept is keeps
