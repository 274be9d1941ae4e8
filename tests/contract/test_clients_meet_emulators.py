"""Our own clients and the emulated clouds over real sockets: every fault of the clouds reads as the right error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runner.adapters import process
from runner.cloud_api.models import Resource
from runner.cloud_api.pacing import Timer
from runner.clouds.lambda_cloud.api import LambdaCloud, open_lambda
from runner.clouds.lambda_cloud.messages import LaunchRequest
from runner.clouds.runpod.api import RunPodCloud, open_runpod
from runner.clouds.runpod.messages import CreatePod
from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    UnreadableAnswerError,
)
from runner.run.run_dir import PROJECT
from runner.world import RealWorld
from tests.unit.runner.emulation.emulated import KEY_LINE

WAIT_S = 240.0
TIMER = Timer(RealWorld())
RUN = "20261121-015500-tiny"
NAME = f"douse-{RUN}"


@dataclass
class Clouds:
    """Our clients of the emulated clouds, and the control API."""

    lambda_: LambdaCloud
    runpod: RunPodCloud
    control: httpx2.Client

    def fault(self, name: str, cloud: str, count: int | str | None = None, **arguments: Any) -> None:
        body = {"name": name, "count": count, "args": {"cloud": cloud, **arguments}}
        answer = self.control.post("/faults", json=body)
        assert answer.status_code == 201, answer.text

    def billing(self) -> list[str]:
        return [machine["id"] for machine in self.control.get("/machines").json()["machines"] if machine["is_billing"]]

    def rent(self, cloud: str) -> str:
        """Rent the cheapest sensible machine of a cloud."""
        if cloud == "runpod":
            return self.runpod.create_pod(_pod()).id
        self.lambda_.add_key(NAME, KEY_LINE)
        return self.lambda_.launch(
            LaunchRequest(
                region_name="us-west-1",
                instance_type_name="gpu_1x_a10",
                ssh_key_name=NAME,
                name=NAME,
                tags={"douse-run": RUN},
            )
        )

    def resources(self, cloud: str) -> list[Resource]:
        return (self.lambda_ if cloud == "lambda" else self.runpod).listing().whole()

    def end(self, cloud: str, resource: Resource) -> None:
        (self.lambda_ if cloud == "lambda" else self.runpod).end(resource)


def _pod() -> CreatePod:
    return CreatePod(
        name=NAME,
        image="runpod/base:1.0.2-ubuntu2404",
        gpu_id="NVIDIA GeForce RTX 4090",
        disk_gb=40,
        env={"DOUSE_RUN": RUN, "PUBLIC_KEY": KEY_LINE},
    )


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("rehearsal")
    words = ["--clouds", "lambda,runpod", "--folder", str(folder), "--boxes", "none"]
    words += ["--setting", "runpod.per_minute=100000"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOUSE_LAMBDA_PACE_S", "0")
        child = process.start(
            [sys.executable, "-m", "runner.rehearsal.serve", *words], log=folder / "serve.log", cwd=PROJECT
        )
    try:
        yield _endpoints(folder / "endpoints.json", child)
    finally:
        child.end(20)


def _endpoints(path: Path, child: process.Child) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, str] = json.loads(path.read_text())
    return found


@pytest.fixture
def clouds(endpoints: dict[str, str]) -> Iterator[Clouds]:
    environ = {
        "LAMBDA_API_KEY": REHEARSAL_KEY,
        "RUNPOD_API_KEY": REHEARSAL_KEY,
        "DOUSE_LAMBDA_ENDPOINT": endpoints["lambda"],
        "DOUSE_LAMBDA_PACE_S": "0",
        "DOUSE_RUNPOD_ENDPOINT": endpoints["runpod"],
        "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": endpoints["runpod_graphql"],
    }
    found = Clouds(
        open_lambda(environ, timer=TIMER),
        open_runpod(environ, timer=TIMER),
        httpx2.Client(base_url=endpoints["control"], timeout=WAIT_S),
    )
    yield found
    found.control.delete("/faults")
    for cloud in ("lambda", "runpod"):
        for resource in found.resources(cloud):
            found.end(cloud, resource)
    _wait(lambda: not found.billing())
    _wait(lambda: not found.lambda_.machines_named(NAME))
    found.lambda_.close()
    found.runpod.close()
    found.control.close()


def _wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_lease_moved_in_a_machines_name_is_read_again_and_the_machine_still_found(clouds: Clouds) -> None:
    machine_id = clouds.rent("lambda")
    (machine,) = [found for found in clouds.resources("lambda") if found.id == machine_id]
    ends_at = datetime(2026, 11, 28, 14, 31, tzinfo=UTC)

    clouds.lambda_.move_lease(machine, ends_at)

    (moved,) = [found for found in clouds.resources("lambda") if found.id == machine_id]
    assert (moved.name, moved.run_id, moved.lease_until) == (machine.name, machine.run_id, ends_at)
    assert clouds.lambda_.machines_named(NAME) == [machine_id]


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_offers_have_prices_and_places(clouds: Clouds, cloud: str) -> None:
    offers = clouds.lambda_.offers() if cloud == "lambda" else clouds.runpod.offers()

    assert len(offers) > 5
    assert all(offer.price_usd_per_h > 0 for offer in offers)
    assert {offer.spot for offer in offers} == ({False} if cloud == "lambda" else {False, True})


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_account_is_reported_and_a_wrong_key_is_the_accounts_fault(
    clouds: Clouds, endpoints: dict[str, str], cloud: str
) -> None:
    good = clouds.lambda_ if cloud == "lambda" else clouds.runpod
    bad: LambdaCloud | RunPodCloud
    if cloud == "lambda":
        bad = LambdaCloud("wrong", endpoint=endpoints["lambda"], pace_s=0, timer=TIMER)
    else:
        bad = RunPodCloud(
            "wrong", endpoint=endpoints["runpod"], graphql_endpoint=endpoints["runpod_graphql"], timer=TIMER
        )

    assert good.account().cloud == cloud
    with pytest.raises(AccountError):
        bad.account()
    bad.close()


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_machine_is_rented_listed_and_ended(clouds: Clouds, cloud: str) -> None:
    machine = clouds.rent(cloud)

    (found,) = [resource for resource in clouds.resources(cloud) if resource.kind == "instance"]
    assert (found.id, found.name, found.run_id) == (machine, NAME, RUN)
    assert found.price_usd_per_h == pytest.approx(0.75 if cloud == "lambda" else 0.69)
    clouds.end(cloud, found)
    _wait(lambda: not clouds.billing())
    _wait(lambda: not [r for r in clouds.resources(cloud) if r.kind == "instance"])


def test_all_of_three_pods_are_found_and_ended_in_pages_of_one(clouds: Clouds) -> None:
    pods = {clouds.rent("runpod") for _ in range(3)}
    clouds.fault("listing_pages", "runpod", count="always")

    found = clouds.runpod.listing().whole()
    assert {resource.id for resource in found} == pods
    for resource in found:
        clouds.runpod.end(resource)

    _wait(lambda: not clouds.billing())


def test_spot_pod_is_rented_at_its_bid(clouds: Clouds) -> None:
    bids = clouds.runpod.minimum_bids()

    pod = clouds.runpod.rent_spot(_pod(), bid_usd_per_gpu_h=bids["NVIDIA GeForce RTX 4090"])

    assert clouds.billing() == [pod.id]
    assert pod.price_usd_per_h == pytest.approx(0.29)


@pytest.mark.parametrize(
    ("cloud", "fault", "error"),
    [
        ("lambda", "no_capacity", NoCapacityError),
        ("lambda", "quota_exceeded", AccountError),
        ("lambda", "balance_empty", AccountError),
        ("lambda", "key_invalid", AccountError),
        ("runpod", "no_capacity", (NoCapacityError, BadRequestError)),
        ("runpod", "balance_empty", AccountError),
        ("runpod", "key_invalid", AccountError),
        ("runpod", "key_forbidden", AccessDeniedError),
    ],
)
def test_refused_launch_is_the_right_error_and_no_machine(
    clouds: Clouds, cloud: str, fault: str, error: type[CloudError]
) -> None:
    clouds.fault(fault, cloud)

    with pytest.raises(error):
        clouds.rent(cloud)

    assert clouds.billing() == []


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_launch_without_an_answer_is_unknown_and_the_machine_is_found_by_its_name(
    clouds: Clouds, cloud: str, lost: bool
) -> None:
    clouds.fault("launch_500_after_create", cloud, lost=lost)

    with pytest.raises(CloudUnavailableError):
        clouds.rent(cloud)

    names = [resource.name for resource in clouds.resources(cloud) if resource.kind == "instance"]
    assert names == [NAME]
    assert len(clouds.billing()) == 1


@pytest.mark.parametrize("fault", ["listing_schema_changed", "listing_empty_body", "listing_partial_page"])
@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_list_that_cannot_be_read_is_never_nothing(clouds: Clouds, cloud: str, fault: str) -> None:
    machine = clouds.rent(cloud)
    clouds.fault(fault, cloud, count="always")

    with pytest.raises(UnreadableAnswerError):
        clouds.resources(cloud)

    assert clouds.billing() == [machine]
    clouds.control.delete("/faults")


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_end_of_a_machine_that_is_gone_is_fine(clouds: Clouds, cloud: str) -> None:
    clouds.rent(cloud)
    (found,) = [resource for resource in clouds.resources(cloud) if resource.kind == "instance"]
    clouds.fault("already_gone", cloud)

    clouds.end(cloud, found)

    assert clouds.billing() == []
