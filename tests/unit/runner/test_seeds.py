"""The field's usual mistakes, each through the real command line: all are caught before anything is rented.

Source of the list: what people ask about in the issue trackers of training tools. Failures end ``train`` with status 2
and leave no run behind; what can be meant is a warning that ``plan`` tells, with what to do.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from runner.cli import parser as cli
from runner.cloud_api.models import Account, Cloud, Offer, Quota, TrustWanted
from runner.errors import AccessDeniedError
from runner.lifecycle.steps import plan
from runner.planning import market
from runner.planning.checks import examine as run
from runner.planning.checks.line import Check
from runner.world import RealWorld, World
from tests.unit.runner.fake_cloud import FakeCloud
from tests.unit.runner.planning.checks.fake_hub import hub_of, refusing
from tests.unit.runner.planning.checks.small_run import chat, write_model

A10 = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
H100 = Offer("gpu_1x_h100_sxm5", "us-west-1", False, 2.49, "H100 SXM", 1, 80.0, available=True)
LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>' "
    "+ message['content'] + '<|eot_id|>' }}{% endfor %}"
)


@dataclass
class Seller(FakeCloud):
    """An account in which two machines are for rent."""

    key_may_list: bool = True

    def account(self) -> Account:
        if not self.key_may_list:
            raise AccessDeniedError("lambda: the key may not list instances (403)", resolution="use another key")
        return Account(self.name, "test")

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        return [A10, H100]


@dataclass
class User:
    """Somebody with a run file, in a folder of their own."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, verb: str, world: World | None = None, **sections: dict[str, Any]) -> tuple[int, str, list[str]]:
        """Return the exit status, the table as one line, and what is on stderr."""
        whole: dict[str, dict[str, Any]] = {
            "run": {"name": "tiny"},
            "model": {"base_model": str(self.folder / "model")},
            "data": {"train_path": "train.jsonl", "eval_path": "eval.jsonl", "max_length": 256},
        }
        for name, keys in sections.items():
            whole[name] = whole.get(name, {}) | keys
        (self.folder / "run.yml").write_text(yaml.safe_dump(whole))
        words = ["--config", str(self.folder / "run.yml"), "--runs-dir", str(self.folder / "runs")]
        status = cli.main([verb, *words, *(["--yes"] if verb == "train" else [])], world)
        told = self.capsys.readouterr()
        return status, " ".join(told.out.split()), told.err.splitlines()

    def assert_refused(self, line: str, error: str, hint: str, **sections: dict[str, Any]) -> None:
        """Start a run and check the table's line, the three lines on stderr, and that there is no run."""
        status, table, lines = self.run("train", **sections)

        assert (status, len(lines)) == (2, 3), (table, lines)
        assert f"fail {line} " in table
        assert error in table
        assert lines[0].startswith("error: ")
        assert error in lines[0]
        assert hint in lines[1]
        assert [path.name for path in (self.folder / "runs").iterdir()] == ["last-error.log"]


def refuse_to_start(*arguments: object) -> None:
    raise AssertionError("the run was started")


@pytest.fixture
def user(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> User:
    write_model(tmp_path / "model")
    (tmp_path / "train.jsonl").write_text(chat())
    (tmp_path / "eval.jsonl").write_text(chat("When?", "Then."))
    monkeypatch.setattr(run, "check_terraform", lambda world: [Check("terraform", "pass", "/opt/terraform")])
    monkeypatch.setattr(run, "hub_secrets", lambda world: {})
    monkeypatch.setattr(plan, "record", refuse_to_start)
    for name in (*market.PROXIES, "LAMBDA_API_KEY", "LAMBDA_API_KEY_FILE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return User(tmp_path, capsys)


@pytest.fixture
def address() -> Iterator[str]:
    """Something on loopback that can be connected to and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def seller(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seller]:
    cloud = Seller()

    def open_cloud(name: str, environ: Mapping[str, str]) -> Cloud:
        return cloud

    monkeypatch.setenv("DOUSE_LAMBDA_ENDPOINT", address)
    monkeypatch.setattr(market, "open_cloud", open_cloud)
    yield cloud
    assert cloud.asked_to_end == []


def test_target_modules_of_olmos_own_code_match_nothing(user: User) -> None:
    user.assert_refused(
        "target modules", "no layer of the base model is called att_proj or ff_proj", "q_proj",
        adapter={"lora_target_modules": ["att_proj", "ff_proj"]},
    )  # fmt: skip


def test_all_labels_are_masked(user: User) -> None:
    (user.folder / "train.jsonl").write_text(chat("Where is it, then? " * 9))

    user.assert_refused(
        "tokens to learn", "with nothing to learn within max_length 16: line 1",
        "max_length", data={"max_length": 16},
    )  # fmt: skip


def test_the_template_is_that_of_another_model(user: User) -> None:
    (user.folder / "llama3.jinja").write_text(LLAMA3)

    user.assert_refused(
        "chat template", "a template of another model: ", "take the base model's own template",
        data={"chat_template_path": str(user.folder / "llama3.jinja")},
    )  # fmt: skip


def test_a_sample_of_forty_thousand_tokens_is_a_warning_as_its_first_tokens_can_be_learnt(user: User) -> None:
    with (user.folder / "train.jsonl").open("a") as file:
        file.write(chat("Why?", "Z" * 40_000))

    status, table, _ = user.run("plan")

    assert status == 0
    assert "warn sample length 1 sample is cut at 256 (39," in table
    assert "the longest, training line 2, has 40,0" in table
    assert "-> split the long samples, or take them out" in table


def test_a_sample_whose_answer_is_cut_away_is_refused(user: User) -> None:
    with (user.folder / "train.jsonl").open("a") as file:
        file.write(chat("Z" * 40_000, "Why?"))

    user.assert_refused(
        "tokens to learn", "with nothing to learn within max_length 256: line 2",
        "max_length",
    )  # fmt: skip


def test_a_gated_model_without_a_token(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(user.folder / "no-token"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # whose Hub is taken to be reachable

    with hub_of(refusing(401, "GatedRepo"), user.folder / "cache", monkeypatch):
        user.assert_refused(
            "base model", "org/gated is gated, and there is no token (401)", "accept https://huggingface.co/org/gated",
            model={"base_model": "org/gated"},
        )  # fmt: skip


def test_max_length_is_above_the_models(user: User) -> None:
    user.assert_refused(
        "max_length", "4,096 tokens, the base model holds 512", "set data.max_length to 512 or less",
        data={"max_length": 4096},
    )  # fmt: skip


def test_a_batch_that_cannot_fit(user: User, seller: Seller) -> None:
    user.assert_refused(
        "gpu memory", "the run needs a GPU of ", "these settings would fit: ",
        compute={"env": "lambda"}, training={"per_device_train_batch_size": 10_000_000},
    )  # fmt: skip


def test_a_bucket_without_write_permission(user: User, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(client: Any, name: str, values: Any) -> Any:
        asked.append(name)
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "mine")

    user.assert_refused(
        "store", "s3://bucket/runs/douse-check refuses: AccessDenied", "give these credentials the right to list",
        store={"url": "s3://bucket/runs", "endpoint_url": address},
    )  # fmt: skip
    assert asked[0] == "PutObject"


def test_a_key_without_permission(user: User, seller: Seller) -> None:
    seller.key_may_list = False

    user.assert_refused(
        "cloud key", "lambda: the key may not list instances (403)", "use another key", compute={"env": "lambda"}
    )


def test_a_quota_of_nothing_for_the_machines_to_try(user: User, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    g5 = Offer("g5.xlarge", "us-east-1", False, 1.006, "A10G", 1, 24.0)
    cloud = FakeCloud(name="aws")
    monkeypatch.setattr(cloud, "offers", lambda trust: [g5])
    monkeypatch.setattr(cloud, "quotas", lambda offers: {g5: Quota("G instances", "us-east-1", 0.0)})
    monkeypatch.setattr(market, "open_cloud", lambda name, environ: cloud)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    user.assert_refused(
        "quota", "0 vCPUs of G instances in us-east-1, g5.xlarge has 4", "ask for more in the console",
        compute={"env": "aws"},
    )  # fmt: skip


def test_a_budget_below_the_cheapest_offer(user: User, seller: Seller) -> None:
    user.assert_refused(
        "budget", "budget.max_usd is 0.01, and the cheapest machine, gpu_1x_a10 in us-west-1, may cost up to",
        "set budget.max_usd to ", compute={"env": "lambda"}, budget={"max_usd": 0.01},
    )  # fmt: skip


def test_stale_prices_are_a_warning_as_a_plan_is_worth_having_offline(
    user: User,
) -> None:
    class Later(RealWorld):
        def now(self) -> datetime:
            return datetime(2030, 1, 1, tzinfo=UTC)

    status, table, _ = user.run("plan", Later(), compute={"env": "lambda"})

    assert status == 0
    assert "warn prices " in table
    assert " rows are out of date: gpu_" in table
    assert "-> refresh the list: `make prices ENV=lambda`" in table


def test_none_of_these_mistakes_passes_with_fit_budget_and_prices_told(user: User, seller: Seller) -> None:
    status, table, _ = user.run("plan", compute={"env": "lambda"}, budget={"max_usd": 100.0})

    assert status == 0
    assert "pass gpu memory " in table
    assert "pass budget " in table
    assert "pass prices as lambda reports them now" in table
    assert "fail" not in table


@pytest.mark.parametrize("verb", ["plan", "data-check", "compare"])
def test_a_limit_in_dollars_refuses_nothing_where_nothing_costs(user: User, verb: str) -> None:
    status, _, lines = user.run(verb, budget={"max_usd": 100.0})

    assert (status, lines) == (0, [])


@pytest.mark.parametrize(
    ("env", "words"), [("lambda", "LAMBDA_API_KEY is not set"), ("aws", "credentials of AWS are not set")]
)
def test_a_cloud_without_its_key_is_refused_before_anything_else(user: User, env: str, words: str) -> None:
    nobody = RealWorld({"HOME": str(user.folder)})

    status, said, lines = user.run("train", nobody, compute={"env": env})

    assert status == 2
    assert lines[0] == f"error: plan: {words}, and compute.env is {env}"
    assert lines[1].startswith("hint:  set ")
    assert said == "==> plan"


@pytest.mark.parametrize("verb", ["train", "up", "rebuild", "resume"])
def test_no_verb_rents_where_nobody_can_be_asked(
    user: User, seller: Seller, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "record", plan.write_down)
    monkeypatch.setattr("runner.lifecycle.drive.provision.provision", refuse_to_start)
    run_file, runs = user.folder / "run.yml", user.folder / "runs"
    assert user.run("plan", compute={"env": "lambda"})[0] == 0
    (planned,) = runs.glob("*/planned.json")
    words = ["--run", planned.parent.name] if verb == "resume" else ["--config", str(run_file)]

    status = cli.main([verb, *words, "--runs-dir", str(runs)])

    error, hint, _ = user.capsys.readouterr().err.splitlines()
    assert status == 2
    assert error == "error: plan: lambda rents a machine for money, and there is no terminal to ask at"
    assert "YES=1" in hint
    assert all((run / "planned.json").is_file() for run in runs.iterdir() if run.is_dir())


@pytest.mark.parametrize("verb", ["plan", "compare"])
def test_what_is_printed_for_programs_is_json_and_nothing_else(
    user: User, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user.run("data-check")[0] == 0  # the run file is there now

    words = ["--config", str(user.folder / "run.yml"), "--runs-dir", str(user.folder / "runs")]
    assert cli.main([verb, *words, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)
