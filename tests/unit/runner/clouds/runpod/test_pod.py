"""Pods on RunPod: by REST, by GraphQL where only that will do, and what is the same as on every cloud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.cloud_api.labels import expiry_mark
from tests.unit.runner.provider.conftest import InProcess, Module, gpu, pod, told
from tests.unit.runner.provider.fake_clouds import GPU, Clouds, Fault

REST, GRAPHQL = "POST /v2/pods", "POST /graphql"
END = 'terminate_at = "2026-11-21T18:00:00Z"'


def test_a_pod_is_rented_by_rest_known_again_and_ended(module: Module, clouds: Clouds) -> None:
    module.write(pod(extra='env = { DOUSE_RUN = "r1" }\n  env_wo = { TOKEN = "t0ken-of-the-box" }'))

    applied = module.apply()

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert clouds.on_runpod.bodies(REST) == [
        {
            "name": "douse-box",
            "image": "runpod/pytorch:1",
            "gpu": {"id": GPU, "count": 1},
            "disk": 50,
            "cloud": "SECURE",
            "dataCenterIds": ["US-KS-2"],
            "ports": ["22/tcp"],
            "env": {"DOUSE_RUN": "r1", "TOKEN": "t0ken-of-the-box", "PUBLIC_KEY": "ssh-ed25519 AAAAmine"},
            "startSsh": True,
        }
    ]
    attributes = module.only()["attributes"]
    assert attributes["ssh"] == {"host": "127.0.0.1", "port": clouds.on_runpod.ssh_port, "user": "root"}
    assert (attributes["instance_type"], attributes["region"], attributes["spot"]) == (GPU, "US-KS-2", False)
    assert (attributes["price_usd_per_h"], attributes["status"]) == (0.44, "RUNNING")
    assert module.plan() == 0
    assert module.destroy().returncode == 0
    assert clouds.on_runpod.machines == {}


def test_a_pod_is_started_with_the_command_it_is_given(module: Module, clouds: Clouds) -> None:
    assert module.write(pod(extra='start_command = "bash -c ls"')).apply().returncode == 0

    (body,) = clouds.on_runpod.bodies(REST)
    assert body["args"] == "bash -c ls"
    assert module.plan() == 0


def test_a_pod_with_an_end_on_the_servers_side_is_rented_by_graphql(module: Module, clouds: Clouds) -> None:
    assert module.write(pod(gpu(region="any"), extra=END)).apply().returncode == 0

    (machine,) = clouds.on_runpod.machines.values()
    assert machine["terminate_after"] == "2026-11-21T18:00:00Z"
    assert clouds.on_runpod.count_of(REST) == 0
    assert "dataCenterId" not in machine["rented"]
    assert module.plan() == 0


def test_a_pod_is_terminated_at_the_end_of_the_candidate_that_was_rented(module: Module, clouds: Clouds) -> None:
    own = gpu(region="any").replace(" }", ', expires_at = "2026-11-21T16:30:00Z" }')
    variables = 'env = { DOUSE_RUN = "r1", DOUSE_EXPIRES = "2026-11-21T18:00:00Z" }'

    assert module.write(pod(own, extra=f"{END}\n  {variables}")).apply().returncode == 0

    (machine,) = clouds.on_runpod.machines.values()
    assert machine["terminate_after"] == "2026-11-21T16:30:00Z"
    assert {"key": "DOUSE_EXPIRES", "value": "20261121t163000z"} in machine["rented"]["env"]
    assert module.plan() == 0


@pytest.mark.parametrize("ahead_h", [2, -2])
def test_a_pod_is_terminated_by_runpods_own_clock(ahead_h: int, module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.ahead_h = ahead_h
    own = gpu(region="any").replace(" }", ', expires_at = "2026-11-21T16:30:00Z" }')

    assert module.write(pod(own, extra=f'{END}\n  env = {{ DOUSE_RUN = "r1" }}')).apply().returncode == 0

    (machine,) = clouds.on_runpod.machines.values()
    marks = {entry["key"]: entry["value"] for entry in machine["rented"]["env"]}
    ends_at = datetime.fromisoformat(machine["terminate_after"])
    wanted = datetime(2026, 11, 21, 16, 30, tzinfo=UTC) + timedelta(hours=ahead_h)
    assert abs(ends_at - wanted) < timedelta(minutes=1)
    assert marks["DOUSE_EXPIRES"] == expiry_mark(machine["terminate_after"])
    assert module.plan() == 0


def test_an_end_of_a_candidate_sets_none_on_the_servers_side_where_none_is_wanted(
    module: Module, clouds: Clouds
) -> None:
    own = gpu(region="any").replace(" }", ', expires_at = "2026-11-21T16:30:00Z" }')

    assert module.write(pod(own)).apply().returncode == 0

    (machine,) = clouds.on_runpod.machines.values()
    assert machine.get("terminate_after") is None


def test_a_spot_pod_bids_the_listed_price(module: Module, clouds: Clouds) -> None:
    assert module.write(pod(gpu(spot=True, top=0.3))).apply().returncode == 0

    (machine,) = clouds.on_runpod.machines.values()
    assert machine["rented"]["bidPerGpu"] == 0.2
    assert module.only()["attributes"]["spot"] is True


def community(**changes: Any) -> str:
    return gpu(**changes).replace(" }", ', trust = "community" }')


@pytest.mark.parametrize(("spot", "price_usd_per_h"), [(False, 0.31), (True, 0.2)])
def test_a_strangers_machine_is_rented_at_its_own_price_where_that_is_allowed(
    module: Module, clouds: Clouds, spot: bool, price_usd_per_h: float
) -> None:
    applied = module.write(pod(community(spot=spot), extra="community_enabled = true")).apply()

    assert applied.returncode == 0, applied.stderr
    (machine,) = clouds.on_runpod.machines.values()
    assert (machine["cloud"], machine["cost"]) == ("COMMUNITY", price_usd_per_h)
    assert module.only()["attributes"]["trust"] == "community"
    assert module.plan() == 0


def test_each_candidate_is_rented_in_its_own_cloud(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.full = {"EU-RO-1"}

    applied = module.write(pod(community(region="EU-RO-1"), gpu(), extra="community_enabled = true")).apply()

    assert applied.returncode == 0, applied.stderr
    assert [body["cloud"] for body in clouds.on_runpod.bodies(REST)] == ["COMMUNITY", "SECURE"]
    assert module.only()["attributes"]["trust"] == "secure"


def test_the_ceiling_of_a_strangers_machine_is_held_against_the_price_of_its_own_cloud(
    module: Module, clouds: Clouds
) -> None:
    applied = module.write(pod(gpu(top=0.35), community(top=0.35), extra="community_enabled = true")).apply()

    assert applied.returncode == 0, applied.stderr
    assert module.only()["attributes"]["trust"] == "community"


def test_a_strangers_machine_is_refused_before_anything_is_rented_unless_it_is_allowed(
    module: Module, clouds: Clouds
) -> None:
    applied = module.write(pod(gpu(), community())).apply()

    assert applied.returncode == 1
    assert "runpod: no community machine may be rented here" in told(applied)
    assert clouds.on_runpod.machines == {}


def test_a_strangers_machine_that_was_not_asked_for_is_tainted(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.cloud_told = "COMMUNITY"

    applied = module.write(pod()).apply()

    assert applied.returncode == 1
    assert "is a community machine, and none was asked for" in told(applied)
    assert module.only()["status"] == "tainted"


def test_a_strangers_machine_goes_when_only_secure_ones_are_wanted(module: Module, clouds: Clouds) -> None:
    assert module.write(pod(community(), extra="community_enabled = true")).apply().returncode == 0

    assert module.write(pod(gpu())).plan() == 2
    assert module.apply().returncode == 0
    (machine,) = clouds.on_runpod.machines.values()
    assert machine["cloud"] == "SECURE"


def test_a_trust_that_is_none_is_refused_by_validate(module: Module) -> None:
    validated = module.write(pod(community().replace("community", "perhaps"))).run("validate")

    assert "a candidate's trust must be secure or community" in told(validated)


def test_without_graphql_a_pod_is_rented_by_rest_and_the_missing_end_is_reported(
    module: Module, clouds: Clouds
) -> None:
    clouds.on_runpod.has_graphql = False

    applied = module.write(pod(extra=END)).apply()

    assert applied.returncode == 0, applied.stderr
    assert "Warning: runpod: the pod has no time limit on the server's side" in told(applied)
    assert clouds.on_runpod.count_of(REST) == 1


def test_without_graphql_there_is_no_spot_and_the_next_candidate_is_tried(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.has_graphql = False

    applied = module.write(pod(gpu(spot=True, top=0.3), gpu())).apply()

    assert applied.returncode == 0, applied.stderr
    assert module.only()["attributes"]["spot"] is False


def test_graphql_that_ends_between_the_listing_and_the_launch_is_no_spot_either(module: Module, clouds: Clouds) -> None:
    offers = Fault(
        GRAPHQL,
        200,
        {"data": {"gpuTypes": [{"id": GPU, "lowestPrice": {"minimumBidPrice": 0.2, "stockStatus": "Low"}}]}},
    )
    clouds.on_runpod.faults.append(offers)
    clouds.on_runpod.has_graphql = False

    applied = module.write(pod(gpu(spot=True, top=0.3))).apply()

    assert "none of 1 candidates is available" in told(applied)
    assert clouds.on_runpod.machines == {}


def test_a_400_goes_on_to_the_next_candidate(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.full = {"EU-RO-1"}

    applied = module.write(pod(gpu(region="EU-RO-1"), gpu())).apply()

    assert applied.returncode == 0, applied.stderr
    assert clouds.on_runpod.count_of(REST) == 2


def test_a_400_for_every_candidate_reports_the_last_ones_words(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.full = {GPU}

    applied = module.write(pod(gpu(region="EU-RO-1"), gpu())).apply()

    assert applied.returncode == 1
    assert f"none of 2 candidates is accepted: {GPU} cannot be deployed in US-KS-2" in told(applied)


def test_a_request_that_breaks_the_schema_stops_at_once(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.faults.append(Fault(REST, 422, {"title": "No", "status": 422, "detail": "unknown field"}))

    assert module.write(pod(gpu(), gpu(region="any"))).apply().returncode == 1
    assert clouds.on_runpod.count_of(REST) == 1


@pytest.mark.parametrize("status", [401, 402])
def test_an_account_that_cannot_pay_stops_at_once(module: Module, clouds: Clouds, status: int) -> None:
    clouds.on_runpod.faults.append(Fault(REST, status, {"title": "No", "status": status, "detail": "balance"}))

    assert module.write(pod(gpu(), gpu(region="any"))).apply().returncode == 1
    assert clouds.on_runpod.count_of(REST) == 1


@pytest.mark.parametrize(
    ("request_", "extra", "status", "body"),
    [
        (REST, "", 403, {"title": "No", "status": 403, "detail": "pool"}),
        (GRAPHQL, END, 403, {"message": "pool"}),
        (GRAPHQL, END, 200, {"errors": [{"message": "not yours", "extensions": {"code": "FORBIDDEN"}}], "data": None}),
    ],
)
def test_a_pool_that_the_key_may_not_use_is_passed_over(
    module: Module, clouds: Clouds, request_: str, extra: str, status: int, body: dict[str, Any]
) -> None:
    if request_ == GRAPHQL:  # the first one lists the bids
        clouds.on_runpod.faults.append(Fault(GRAPHQL, 200, {"data": {"gpuTypes": []}}))
    clouds.on_runpod.faults.append(Fault(request_, status, body))

    assert module.write(pod(gpu(), gpu(region="any"), extra=extra)).apply().returncode == 0
    assert len(clouds.on_runpod.billing()) == 1


@pytest.mark.parametrize(("request_", "extra"), [(REST, ""), (GRAPHQL, END)])
def test_a_launch_without_an_answer_is_found_by_name(module: Module, clouds: Clouds, request_: str, extra: str) -> None:
    if request_ == GRAPHQL:  # the first one lists the bids
        bids = {"data": {"gpuTypes": []}}
        clouds.on_runpod.faults.append(Fault(GRAPHQL, 200, bids))
    clouds.on_runpod.faults.append(Fault(request_, happens=True, lost=True))
    clouds.on_runpod.listing_lag = 2

    applied = module.write(pod(extra=extra)).apply()

    assert applied.returncode == 0, applied.stderr
    assert [module.only()["attributes"]["id"]] == clouds.on_runpod.billing()


def test_a_pod_without_a_way_in_is_an_error_and_tainted(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.direct_ssh = False

    applied = module.write(pod(extra="create_timeout_s = 60")).apply()

    assert "it is RUNNING, but there is no address for SSH" in told(applied)
    assert module.only()["status"] == "tainted"
    assert module.destroy().returncode == 0
    assert clouds.on_runpod.machines == {}


@pytest.mark.parametrize("status", ["EXITED", "ERROR"])
def test_a_stopped_pod_shows_as_drift_and_keeps_its_address(module: Module, clouds: Clouds, status: str) -> None:
    module.write(pod(), 'output "host" { value = douse_runpod_pod.box.ssh.host }').apply()
    (machine,) = clouds.on_runpod.machines.values()
    machine |= {"status": status, "cost": 0.0}

    refreshed = module.run("apply", "-refresh-only", "-auto-approve")

    assert f"is {status}" in told(refreshed)
    attributes = module.only()["attributes"]
    assert (attributes["status"], attributes["price_usd_per_h"]) == (status, 0.44)
    assert attributes["ssh"]["host"] == "127.0.0.1"


def test_a_terminated_pod_is_to_be_created_again(module: Module, clouds: Clouds) -> None:
    module.write(pod()).apply()
    next(iter(clouds.on_runpod.machines.values()))["status"] = "TERMINATED"

    assert "1 to add, 0 to change, 0 to destroy" in module.run("plan").stdout


def test_a_pod_that_exits_while_it_boots_is_given_up(module: Module, clouds: Clouds) -> None:
    clouds.on_runpod.looks_to_boot = 10**6
    look = clouds.on_runpod.look

    def exited(pod_id: str) -> tuple[int, object]:
        clouds.on_runpod.machines[pod_id]["status"] = "EXITED"
        return look(pod_id)

    clouds.on_runpod.look = exited  # type: ignore[method-assign]

    assert "it is EXITED before it was up" in told(module.write(pod()).apply())
    assert module.only()["status"] == "tainted"


def test_a_pod_is_imported_by_its_id_and_stays(module: Module, clouds: Clouds) -> None:
    module.write(pod(extra='env = { DOUSE_RUN = "r1" }')).apply()
    (module.folder / "terraform.tfstate").unlink()

    module.done("import", "douse_runpod_pod.box", f"{1:010x}")

    assert "0 added, 1 changed, 0 destroyed" in module.apply().stdout
    assert module.plan() == 0


def test_another_image_replaces_the_pod(module: Module, clouds: Clouds) -> None:
    module.write(pod()).apply()

    applied = module.write(pod().replace("pytorch:1", "pytorch:2")).apply()

    assert "1 added, 0 changed, 1 destroyed" in applied.stdout
    assert len(clouds.on_runpod.machines) == 1


def test_ten_pods_are_rented_and_ended_side_by_side(module: Module, clouds: Clouds) -> None:
    module.write(pod(name="douse-${count.index}", extra="count = 10"))

    assert module.apply().returncode == 0
    assert len(clouds.on_runpod.machines) == 10
    assert module.destroy().returncode == 0
    assert clouds.on_runpod.machines == {}


def test_a_pod_is_ended_although_terraform_was_asked_to_stop_before(inside: InProcess, clouds: Clouds) -> None:
    inside.module.write(pod()).apply()
    inside.service.stop.set()

    inside.module.destroy()

    assert clouds.on_runpod.count_of("DELETE /v2/pods/.*") == 1


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ('min_cuda_version = "13"', "min_cuda_version must look like 13.0"),
        ('ports = ["8888/http"]', "ports must hold 22/tcp"),
        ('terminate_at = "tomorrow"', "terminate_at must look like 2026-11-21T18:00:00Z"),
        ('terminate_at = "2026-13-41T18:00:00Z"', "terminate_at must look like 2026-11-21T18:00:00Z"),
        ('env = { PUBLIC_KEY = "x" }', "env must not set PUBLIC_KEY"),
        ('env_wo = { PUBLIC_KEY = "x" }', "env_wo must not set PUBLIC_KEY"),
    ],
)
def test_what_runpod_would_refuse_is_refused_by_validate(module: Module, extra: str, words: str) -> None:
    validated = module.write(pod(extra=extra)).run("validate")

    assert validated.returncode == 1
    assert words in told(validated)


def test_a_disk_of_nothing_is_refused_by_validate(module: Module) -> None:
    validated = module.write(pod().replace("disk_size_gib = 50", "disk_size_gib = 0")).run("validate")

    assert "disk_size_gib must be 1 or more" in told(validated)


def test_a_data_centre_in_lower_case_is_refused_before_anything_is_rented(module: Module, clouds: Clouds) -> None:
    applied = module.write(pod(gpu(region="us-ks-2"))).apply()

    assert applied.returncode == 1
    assert "data_center_ids" in told(applied)
    assert clouds.on_runpod.machines == {}
