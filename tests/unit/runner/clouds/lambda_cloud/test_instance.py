"""Machines on Lambda: rented, kept, found again, ended, as Terraform sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.cloud_api.labels import leased_name, without_lease
from runner.errors import NONE_NOW
from tests.unit.runner.provider.conftest import InProcess, Module, candidate, instance, told
from tests.unit.runner.provider.fake_clouds import Clouds, Fault

LAUNCH = "POST /instance-operations/launch"
TERMINATE = "POST /instance-operations/terminate"


def test_a_machine_is_marked_with_the_end_of_the_candidate_that_was_rented(module: Module, clouds: Clouds) -> None:
    ends = ("2026-11-21T18:00:00Z", "2026-11-21T16:30:00Z")
    first, second = (
        candidate(region=region).replace(" }", f', expires_at = "{end}" }}')
        for region, end in zip(("us-east-9", "us-west-1"), ends, strict=True)
    )
    module.write(instance(first, second, extra=f'tags = {{ "douse-run" = "r1", "douse-expires" = "{ends[0]}" }}'))

    assert module.apply().returncode == 0

    launched = clouds.on_lambda.bodies(LAUNCH)[-1]
    assert launched["region_name"] == "us-west-1"
    assert {"key": "douse-expires", "value": "20261121t163000z"} in launched["tags"]
    assert len(launched["tags"]) == 2


def test_a_machine_that_may_be_anywhere_is_rented_where_lambda_has_one(module: Module, clouds: Clouds) -> None:
    assert module.write(instance(candidate(region="any"))).apply().returncode == 0

    assert [body["region_name"] for body in clouds.on_lambda.bodies(LAUNCH)] == ["us-west-1"]
    assert module.only()["attributes"]["region"] == "us-west-1"
    assert module.plan() == 0


def test_a_machine_that_no_region_has_now_is_not_asked_for(
    module: Module, clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clouds.on_lambda, "regions", [])

    applied = module.write(instance(candidate(region="any"))).apply()

    assert applied.returncode == 1
    assert NONE_NOW in told(applied)
    assert clouds.on_lambda.bodies(LAUNCH) == []


@pytest.mark.parametrize("ahead_h", [2, -2])
def test_a_machine_is_marked_with_its_end_by_lambdas_clock(ahead_h: int, module: Module, clouds: Clouds) -> None:
    clouds.on_lambda.ahead_h = ahead_h
    own = candidate().replace(" }", ', expires_at = "2026-11-21T16:30:00Z" }')

    assert module.write(instance(own, extra='tags = { "douse-run" = "r1" }')).apply().returncode == 0

    tags = {tag["key"]: tag["value"] for tag in clouds.on_lambda.bodies(LAUNCH)[-1]["tags"]}
    ends_at = datetime.strptime(tags["douse-expires"], "%Y%m%dt%H%M%Sz").replace(tzinfo=UTC)
    wanted = datetime(2026, 11, 21, 16, 30, tzinfo=UTC) + timedelta(hours=ahead_h)
    assert abs(ends_at - wanted) < timedelta(minutes=1)
    assert module.plan() == 0


def test_a_machine_is_rented_known_again_and_ended(module: Module, clouds: Clouds) -> None:
    module.write(instance(extra='tags = { "douse-run" = "r1" }'))

    applied = module.apply()

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert module.only()["attributes"] == {
        "address": "127.0.0.1",
        "candidates": [
            {
                "expires_at": None,
                "instance_type": "gpu_1x_a10",
                "max_price_usd_per_h": 1.29,
                "region": "us-west-1",
                "spot": False,
                "trust": None,
            }
        ],
        "create_timeout_s": 1500,
        "delete_timeout_s": 600,
        "first_lease_s": None,
        "id": f"{1:032x}",
        "instance_type": "gpu_1x_a10",
        "name": "douse-box",
        "price_usd_per_h": 1.29,
        "region": "us-west-1",
        "spot": False,
        "ssh": {"host": "127.0.0.1", "port": clouds.on_lambda.ssh_port, "user": "ubuntu"},
        "ssh_key_name": "mine",
        "ssh_user": "ubuntu",
        "status": "active",
        "tags": {"douse-run": "r1"},
        "trust": "secure",
        "user_data_version": None,
        "user_data_wo": None,
    }
    assert module.plan() == 0
    assert module.destroy().returncode == 0
    assert clouds.on_lambda.machines == {}
    assert module.resources() == []


def test_a_runs_machine_has_a_lease_in_its_name_and_a_changed_one_is_no_change(module: Module, clouds: Clouds) -> None:
    run_id, began = "20261121-073000-tiny-k3v9", datetime.now(UTC)
    module.write(
        instance(name=f'"douse-{run_id}"', extra=f'tags = {{ "douse-run" = "{run_id}" }}\n  first_lease_s = 3300')
    )

    applied = module.apply()

    assert applied.returncode == 0, applied.stdout + applied.stderr
    (machine,) = clouds.on_lambda.machines.values()
    plain, lease_until = without_lease(machine["name"], {})
    assert plain == f"douse-{run_id}"
    assert lease_until is not None
    assert timedelta(seconds=3300) <= lease_until - began < timedelta(hours=2)
    assert module.only()["attributes"]["name"] == f"douse-{run_id}"
    machine["name"] = leased_name(run_id, began + timedelta(days=1))
    assert module.plan() == 0


def test_a_machine_of_no_run_gets_no_lease(module: Module, clouds: Clouds) -> None:
    applied = module.write(instance(extra="first_lease_s = 3300")).apply()

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert [machine["name"] for machine in clouds.on_lambda.machines.values()] == ["douse-box"]


def test_another_kind_of_candidate_list_leaves_the_machine_alone(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()

    dearer_too = module.write(instance(candidate("gpu_1x_h100", top=9), candidate(region="any", top=2.5))).apply()
    others_only = module.write(instance(candidate("gpu_1x_h100", top=9))).run("plan")

    assert "1 changed, 0 destroyed" in dearer_too.stdout
    assert clouds.on_lambda.count_of(LAUNCH) == 1
    assert "1 to add, 0 to change, 1 to destroy" in others_only.stdout


def test_the_next_candidate_is_tried_when_there_is_none_or_it_costs_too_much(module: Module, clouds: Clouds) -> None:
    module.write(
        instance(
            candidate("gpu_8x_unheard_of"),
            candidate("gpu_1x_h100", top=1.3),
            candidate(region="us-east-9"),
            candidate(),
        )
    )

    applied = module.apply()

    assert applied.returncode == 0, applied.stderr
    tried = [(body["instance_type_name"], body["region_name"]) for body in clouds.on_lambda.bodies(LAUNCH)]
    assert tried == [("gpu_1x_a10", "us-east-9"), ("gpu_1x_a10", "us-west-1")]
    assert module.only()["attributes"]["region"] == "us-west-1"


def test_a_key_that_may_not_rent_this_one_goes_on_to_the_next(module: Module, clouds: Clouds) -> None:
    refusal = {"error": {"code": "global/forbidden", "message": "not yours"}}
    clouds.on_lambda.faults.append(Fault(LAUNCH, 403, refusal))

    applied = module.write(instance(candidate("gpu_1x_h100", top=9), candidate())).apply()

    assert applied.returncode == 0, applied.stderr
    assert module.only()["attributes"]["instance_type"] == "gpu_1x_a10"


def test_no_candidate_left_is_an_error_that_reports_each_reason(module: Module, clouds: Clouds) -> None:
    applied = module.write(instance(candidate(region="us-east-9"), candidate("gpu_1x_h100", top=1.3))).apply()

    words = told(applied)
    assert applied.returncode == 1
    assert "none of 2 candidates is available" in words
    assert "gpu_1x_a10 in us-east-9: Not enough capacity" in words
    assert "gpu_1x_h100 in us-west-1: costs $3.87/h, more than $1.3/h" in words
    assert module.resources() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "global/invalid-api-key"), (400, "global/quota-exceeded"), (400, "global/invalid-parameters")],
)
def test_what_holds_for_every_candidate_stops_at_once(module: Module, clouds: Clouds, status: int, code: str) -> None:
    clouds.on_lambda.faults.append(Fault(LAUNCH, status, {"error": {"code": code, "message": "No."}}))

    applied = module.write(instance(candidate("gpu_1x_h100", top=9), candidate())).apply()

    assert applied.returncode == 1
    assert code in applied.stderr
    assert clouds.on_lambda.count_of(LAUNCH) == 1
    assert module.resources() == []


@pytest.mark.parametrize("lost", [True, False])
def test_a_launch_without_an_answer_is_found_by_name_although_the_listing_lags(
    module: Module, clouds: Clouds, lost: bool
) -> None:
    clouds.on_lambda.faults.append(Fault(LAUNCH, 500, "oops", happens=True, lost=lost))
    clouds.on_lambda.listing_lag = 3

    applied = module.write(instance(candidate(), candidate("gpu_1x_h100", top=9))).apply()

    assert applied.returncode == 0, applied.stderr
    assert "the answer to the launch was lost" in told(applied)
    assert clouds.on_lambda.count_of(LAUNCH) == 1
    assert [module.only()["attributes"]["id"]] == clouds.on_lambda.billing()


def test_a_launch_without_an_answer_and_without_a_machine_says_that_one_may_exist(
    module: Module, clouds: Clouds
) -> None:
    clouds.on_lambda.faults.append(Fault(LAUNCH, lost=True))

    applied = module.write(instance(candidate(), candidate("gpu_1x_h100", top=9))).apply()

    assert applied.returncode == 1
    assert "a machine named douse-box may exist and bill" in told(applied)
    assert clouds.on_lambda.count_of(LAUNCH) == 1
    assert module.resources() == []


def test_a_machine_of_this_name_is_never_doubled(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    (module.folder / "terraform.tfstate").unlink()

    again = module.apply()

    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert clouds.on_lambda.count_of(LAUNCH) == 1


def test_a_machine_that_never_boots_is_an_error_and_tainted(module: Module, clouds: Clouds) -> None:
    clouds.on_lambda.looks_to_boot = 10**6
    output = 'output "host" { value = douse_lambda_instance.box.ssh.host }'

    applied = module.write(instance(extra="create_timeout_s = 30"), output).apply()

    assert applied.returncode == 1
    assert "not up after 30 s: it is booting" in told(applied)
    assert module.only()["status"] == "tainted"
    assert [module.only()["attributes"]["id"]] == clouds.on_lambda.billing()
    assert module.destroy().returncode == 0
    assert clouds.on_lambda.billing() == []


def test_active_without_sshd_is_not_done(inside: InProcess, clouds: Clouds) -> None:
    inside.provider.sshd_answers = lambda _host, _port: False

    applied = inside.module.write(instance(extra="create_timeout_s = 30")).apply()

    assert applied.returncode == 1
    assert "sshd does not answer at 127.0.0.1" in told(applied)
    assert inside.module.only()["status"] == "tainted"


def test_a_machine_that_dies_while_it_boots_is_an_error_and_tainted(inside: InProcess, clouds: Clouds) -> None:
    def preempt(_host: str, _port: int) -> bool:
        next(iter(clouds.on_lambda.machines.values()))["status"] = "preempted"
        return False

    inside.provider.sshd_answers = preempt

    applied = inside.module.write(instance()).apply()

    assert "it is preempted before it was up" in applied.stderr
    assert inside.module.only()["status"] == "tainted"


def test_a_machine_that_nobody_ever_saw_is_in_the_state_all_the_same(module: Module, clouds: Clouds) -> None:
    refusal = {"error": {"code": "global/invalid-api-key", "message": "No."}}
    clouds.on_lambda.faults.append(Fault("GET /instances/[0-9a-f]+", 401, refusal))

    applied = module.write(instance()).apply()

    assert applied.returncode == 1
    attributes = module.only()["attributes"]
    assert module.only()["status"] == "tainted"
    assert (attributes["id"], attributes["status"], attributes["ssh"]) == (f"{1:032x}", "launched", None)
    assert module.destroy().returncode == 0
    assert clouds.on_lambda.billing() == []


def test_a_defect_after_the_launch_loses_no_machine(inside: InProcess, clouds: Clouds) -> None:
    def defect(_host: str, _port: int) -> bool:
        raise ZeroDivisionError("oh")

    inside.provider.sshd_answers = defect

    applied = inside.module.write(instance()).apply()

    assert "defect in the provider: ZeroDivisionError" in applied.stderr
    assert inside.module.only()["status"] == "tainted"
    assert [inside.module.only()["attributes"]["id"]] == clouds.on_lambda.billing()


@pytest.mark.parametrize(("status", "body"), [(429, None), (503, "<html>"), (200, {"surprise": 1})])
def test_trouble_while_it_boots_is_waited_out(module: Module, clouds: Clouds, status: int, body: object) -> None:
    clouds.on_lambda.faults.extend(Fault("GET /instances/[0-9a-f]+", status, body) for _ in range(4))

    applied = module.write(instance()).apply()

    assert applied.returncode == 0, applied.stderr


def test_a_machine_that_costs_more_than_agreed_is_an_error_and_tainted(inside: InProcess, clouds: Clouds) -> None:
    launch = clouds.on_lambda.launch

    def dearer(body: object) -> tuple[int, object]:
        answer = launch(body)
        next(iter(clouds.on_lambda.machines.values()))["instance_type"]["price_cents_per_hour"] = 500
        return answer

    clouds.on_lambda.launch = dearer  # type: ignore[method-assign]

    applied = inside.module.write(instance()).apply()

    assert "costs $5/h, more than $1.29/h" in told(applied)
    assert inside.module.only()["status"] == "tainted"
    assert inside.module.destroy().returncode == 0
    assert clouds.on_lambda.billing() == []


def test_terraform_asked_to_stop_ends_the_wait_and_taints_the_machine(inside: InProcess, clouds: Clouds) -> None:
    def stop(_host: str, _port: int) -> bool:
        inside.service.stop.set()
        return False

    inside.provider.sshd_answers = stop

    applied = inside.module.write(instance()).apply()

    assert "exists and bills" in told(applied)
    assert inside.module.only()["status"] == "tainted"
    assert [inside.module.only()["attributes"]["id"]] == clouds.on_lambda.billing()


def test_terraform_asked_to_stop_before_the_launch_rents_nothing(inside: InProcess, clouds: Clouds) -> None:
    inside.service.stop.set()

    applied = inside.module.write(instance()).apply()

    assert "interrupted: nothing was rented" in told(applied)
    assert clouds.on_lambda.count_of(LAUNCH) == 0


def test_terraform_asked_to_stop_while_the_pace_is_kept_rents_nothing(inside: InProcess, clouds: Clouds) -> None:
    inside.provider.environ["DOUSE_LAMBDA_PACE_S"] = "1"
    clouds.on_lambda.faults.append(Fault(LAUNCH, 429, None))
    refuse = clouds.on_lambda.serve

    def stop(method: str, path: str, auth: str | None, body: object) -> tuple[int, object]:
        if path == "/instance-operations/launch":
            inside.service.stop.set()
        return refuse(method, path, auth, body)

    clouds.on_lambda.serve = stop  # type: ignore[method-assign]

    applied = inside.module.write(instance()).apply()

    assert "interrupted while waiting for the cloud" in told(applied)
    assert clouds.on_lambda.billing() == []


@pytest.mark.parametrize("status", ["terminated", "preempted"])
def test_a_machine_gone_for_good_is_to_be_created_again(module: Module, clouds: Clouds, status: str) -> None:
    module.write(instance()).apply()
    clouds.on_lambda.machines[f"{1:032x}"]["status"] = status

    assert "1 to add, 0 to change, 0 to destroy" in module.run("plan").stdout


def test_a_machine_that_the_cloud_does_not_know_is_to_be_created_again(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    clouds.on_lambda.machines.clear()

    assert "1 to add, 0 to change, 0 to destroy" in module.run("plan").stdout
    assert module.destroy().returncode == 0


@pytest.mark.parametrize(("status", "body"), [(500, "oops"), (200, {"data": {}}), (404, "<html>")])
def test_a_machine_that_cannot_be_read_is_never_taken_for_gone(
    module: Module, clouds: Clouds, status: int, body: object
) -> None:
    module.write(instance()).apply()
    clouds.on_lambda.faults.extend(
        Fault("GET /instances/[0-9a-f]+", status, body) for _ in range(5 if status == 500 else 1)
    )

    planned = module.run("plan")

    assert planned.returncode == 1
    assert len(module.resources()) == 1


def test_a_machine_that_somebody_is_ending_shows_as_drift(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    clouds.on_lambda.machines[f"{1:032x}"]["status"] = "terminating"
    clouds.on_lambda.looks_to_end = 10**6

    planned = module.run("plan")

    assert "is terminating" in planned.stdout + planned.stderr
    assert planned.returncode == 0


def test_another_key_name_replaces_the_machine(module: Module, clouds: Clouds) -> None:
    clouds.on_lambda.keys["k1"] = {"id": "k1", "name": "other", "public_key": "ssh-ed25519 AAAAother"}
    module.write(instance()).apply()

    applied = module.write(instance().replace('"mine"', '"other"')).apply()

    assert applied.returncode == 0, applied.stderr
    assert len(clouds.on_lambda.billing()) == 1
    assert module.only()["attributes"]["id"] == f"{2:032x}"


def test_another_login_user_is_no_reason_for_another_machine(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()

    applied = module.write(instance(extra='ssh_user = "root"')).apply()

    assert "0 added, 1 changed, 0 destroyed" in applied.stdout
    assert module.only()["attributes"]["ssh"]["user"] == "root"
    assert module.plan() == 0


def test_a_machine_is_imported_by_its_id_and_stays(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    (module.folder / "terraform.tfstate").unlink()

    module.done("import", "douse_lambda_instance.box", f"{1:032x}")

    assert "0 to add, 1 to change, 0 to destroy" in module.run("plan").stdout
    assert "0 added, 1 changed, 0 destroyed" in module.apply().stdout
    assert module.plan() == 0


def test_an_import_of_nothing_is_an_error(module: Module) -> None:
    module.write(instance())

    assert "there is no machine nope" in module.run("import", "douse_lambda_instance.box", "nope").stderr


def test_destroy_repeats_itself_while_the_cloud_is_in_trouble(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    clouds.on_lambda.faults.extend(Fault(TERMINATE, 500, "oops") for _ in range(12))

    destroyed = module.destroy()

    assert destroyed.returncode == 0, destroyed.stderr
    assert clouds.on_lambda.machines == {}


def test_destroy_asks_again_when_the_cloud_says_yes_and_does_nothing(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    answer = {"data": {"terminated_instances": [{"id": f"{1:032x}"}]}}
    clouds.on_lambda.faults.append(Fault(TERMINATE, 200, answer))

    assert module.destroy().returncode == 0
    assert clouds.on_lambda.count_of(TERMINATE) == 2


def test_destroy_fails_loudly_when_the_machine_stays(module: Module, clouds: Clouds) -> None:
    module.write(instance(extra="delete_timeout_s = 90")).apply()
    clouds.on_lambda.looks_to_end = 10**6

    destroyed = module.destroy()

    words = told(destroyed)
    assert destroyed.returncode == 1
    assert f"{1:032x} is still there after 90 s" in words
    assert "it was asked to terminate; it is terminating. It may still bill." in words
    assert len(module.resources()) == 1


def test_destroy_with_a_bad_key_keeps_the_machine_in_the_state(module: Module, clouds: Clouds) -> None:
    module.write(instance()).apply()
    refusal = {"error": {"code": "global/invalid-api-key", "message": "No."}}
    clouds.on_lambda.faults.append(Fault(TERMINATE, 401, refusal))

    assert module.destroy().returncode == 1
    assert len(module.resources()) == 1


def test_destroy_that_is_interrupted_keeps_the_machine_in_the_state(inside: InProcess, clouds: Clouds) -> None:
    inside.module.write(instance()).apply()
    clouds.on_lambda.looks_to_end = 10**6
    answer = clouds.on_lambda.answer

    def stop(method: str, path: str, body: object) -> tuple[int, object]:
        if path == "/instance-operations/terminate":
            inside.service.stop.set()
        return answer(method, path, body)

    clouds.on_lambda.answer = stop  # type: ignore[method-assign]

    destroyed = inside.module.destroy()

    assert "was asked to terminate; it was not seen to be gone" in told(destroyed)
    assert len(inside.module.resources()) == 1


def test_ten_machines_are_rented_and_ended_side_by_side(module: Module, clouds: Clouds) -> None:
    module.write(instance(name='"douse-${count.index}"', extra="count = 10"))

    applied = module.apply()

    assert applied.returncode == 0, applied.stderr
    assert len(module.resources()) == 10
    assert {item["attributes"]["name"] for item in module.resources()} == {f"douse-{n}" for n in range(10)}
    assert len({item["attributes"]["id"] for item in module.resources()}) == 10
    assert module.destroy().returncode == 0
    assert clouds.on_lambda.billing() == []


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (instance(candidate(spot=True)), "Lambda has no spot machines"),
        (instance(name=f'"{"x" * 65}"'), "name must have 1 to 64 characters"),
        (instance().replace(candidate(), ""), "candidates must name at least one machine"),
        (
            instance(candidate().replace(" }", ', trust = "community" }')),
            "lambda: no community machine may be rented here",
        ),
        (instance(extra='tags = { "Owner" = "me" }'), "Owner is no tag of Lambda's"),
        (instance(extra=f'tags = {{ "owner" = "{"x" * 129}" }}'), "the value of owner is too long"),
        (instance(extra="create_timeout_s = 0"), "create_timeout_s must be above 0"),
        (instance(extra="delete_timeout_s = -1"), "delete_timeout_s must be above 0"),
    ],
)
def test_what_lambda_would_refuse_is_refused_by_validate(module: Module, block: str, words: str) -> None:
    validated = module.write(block).run("validate")

    assert validated.returncode == 1
    assert words in told(validated)


def test_a_price_of_many_digits_makes_no_change(module: Module, clouds: Clouds) -> None:
    module.write(instance(candidate(top="4 / 3")))  # type: ignore[arg-type]

    assert module.apply().returncode == 0
    assert module.plan() == 0


def test_planning_sends_no_request(module: Module, clouds: Clouds) -> None:
    assert module.write(instance()).plan() == 2
    assert clouds.on_lambda.log == []
