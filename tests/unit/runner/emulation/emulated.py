"""Emulated clouds without a process: apps under a test client, boxes on paper, a clock that is turned by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from runner.emulation.cloud_state import REHEARSAL_KEY, CloudState
from runner.emulation.control_app import Control
from runner.emulation.paper_yard import PaperYard
from runner.emulation.service import Service, chosen_settings
from runner.rehearsal.services import emulated_clouds, known_faults

KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXGDN/SclOozk1xsDztpmhGiKkkrfQB9SKoO8dSIQQZ rehearsal"
BEARER = {"authorization": f"Bearer {REHEARSAL_KEY}"}
NO_PACE = {"lambda.pace_s": "0", "runpod.per_minute": "10000"}
POD = {
    "name": "douse-20261121-0155-tiny",
    "image": "runpod/base:1.0.2-ubuntu2404",
    "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
    "disk": 50,
    "ports": ["22/tcp"],
    "env": {"PUBLIC_KEY": KEY_LINE, "DOUSE_RUN": "20261121-015500-tiny", "HF_TOKEN": "hf_secret"},
}


@dataclass
class HandClock:
    """A clock that goes on when it is told to."""

    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Lab:
    """Emulated clouds and everything that a test wants of them."""

    settings: dict[str, str] = field(default_factory=lambda: dict(NO_PACE))
    has_real_boxes: bool = True
    clock: HandClock = field(default_factory=HandClock)
    yard: PaperYard = field(default_factory=PaperYard)

    def __post_init__(self) -> None:
        clouds = emulated_clouds()
        self.state = CloudState(
            self.yard,
            self.clock,
            faults=known_faults(),
            settings=chosen_settings(list(clouds.values()), self.settings, {}),
            has_real_boxes=self.has_real_boxes,
        )
        self.services: dict[str, Service] = {name: cloud.build(self.state) for name, cloud in clouds.items()}
        statuses = {name: service.statuses for name, service in self.services.items()}
        self.control = TestClient(Control(self.state, statuses).app())
        self.lambda_ = self._client("lambda", "/api/v1")
        self.runpod = self._client("runpod", "/v2")
        self.graphql = self._client("runpod", "")

    def _client(self, cloud: str, path: str) -> TestClient:
        app = self.services[cloud].asgi
        assert app is not None
        return TestClient(app, base_url=f"http://testserver{path}", headers=BEARER)

    def fault(self, name: str, count: int | str | None = None, **arguments: Any) -> None:
        answer = self.control.post("/faults", json={"name": name, "count": count, "args": arguments})
        assert answer.status_code == 201, answer.text

    def fired(self) -> list[str]:
        return [fired["name"] for fired in self.control.get("/faults").json()["fired"]]

    def machines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control.get("/machines").json()["machines"]
        return found

    def billing(self) -> list[str]:
        return [machine["id"] for machine in self.machines() if machine["is_billing"]]

    def leftovers(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.control.get("/leftovers").json()["leftovers"] if row["kind"] == kind]

    def launch(self, **changes: Any) -> Any:
        """Ask Lambda for an instance; the key is registered on the way."""
        if "douse-key" not in {key["name"] for key in self.lambda_.get("/ssh-keys").json()["data"]}:
            self.lambda_.post("/ssh-keys", json={"name": "douse-key", "public_key": KEY_LINE})
        order = {
            "region_name": "us-west-1",
            "instance_type_name": "gpu_1x_a10",
            "ssh_key_names": ["douse-key"],
            "name": "douse-20261121-015500-tiny",
            "user_data": "#cloud-config\nssh_keys:\n  ed25519_public: x\nssh_deletekeys: true\n",
            "tags": [{"key": "douse-run", "value": "20261121-015500-tiny"}],
            **changes,
        }
        return self.lambda_.post("/instance-operations/launch", json=order)

    def launched(self, **changes: Any) -> str:
        answer = self.launch(**changes)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["instance_ids"][0])

    def terminate(self, *ids: str) -> Any:
        return self.lambda_.post("/instance-operations/terminate", json={"instance_ids": list(ids)})

    def pod(self, **changes: Any) -> dict[str, Any]:
        answer = self.runpod.post("/pods", json={**POD, **changes})
        assert answer.status_code == 201, answer.text
        shown: dict[str, Any] = answer.json()
        return shown
