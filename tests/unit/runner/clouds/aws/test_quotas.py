"""AWS's Service Quotas, by botocore's stub of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from runner.cloud_api.models import Offer, Quota
from runner.clouds.aws.api import open_aws
from runner.clouds.aws.quotas import quota_code, quota_in
from runner.errors import AccessDeniedError, RateLimitedError, UnreadableAnswerError
from runner.world import RealWorld

HERE = "us-east-1"
CODE = "L-DB2E81BA"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": HERE}
ASKED = {"ServiceCode": "ec2", "QuotaCode": CODE}


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client("service-quotas", region_name=HERE, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as found:
        yield found
        found.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("instance_type", "on_demand", "spot"),
    [
        ("g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.48xlarge", "L-417A185B", None),
        ("trn1.2xlarge", None, None),
    ],
)
def test_a_kind_of_machine_counts_against_its_familys_quota(
    instance_type: str, on_demand: str | None, spot: str | None
) -> None:
    assert (quota_code(instance_type, spot=False), quota_code(instance_type, spot=True)) == (on_demand, spot)


def test_a_quota_has_awss_name_and_value(stub: Stubber) -> None:
    told = {"QuotaName": "Running On-Demand G and VT instances", "Value": 8.0, "QuotaCode": CODE}
    stub.add_response("get_service_quota", {"Quota": told}, ASKED)

    assert quota_in(stub.client, HERE, CODE) == Quota("Running On-Demand G and VT instances", HERE, 8.0)


def test_a_quota_that_aws_does_not_know_is_not_reported(stub: Stubber) -> None:
    stub.add_client_error("get_service_quota", "NoSuchResourceException", http_status_code=400)

    assert quota_in(stub.client, HERE, CODE) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDeniedException", AccessDeniedError), ("TooManyRequestsException", RateLimitedError)],
)
def test_a_refusal_has_its_cause(stub: Stubber, code: str, kind: type[Exception]) -> None:
    stub.add_client_error("get_service_quota", code, http_status_code=400)

    with pytest.raises(kind, match=f"cannot read quota {CODE} in {HERE}"):
        quota_in(stub.client, HERE, CODE)


@pytest.mark.parametrize("answer", [{}, {"Quota": {"QuotaName": "x"}}])
def test_an_answer_without_a_value_is_no_quota_of_nothing(stub: Stubber, answer: dict[str, Any]) -> None:
    stub.add_response("get_service_quota", answer, ASKED)

    with pytest.raises(UnreadableAnswerError):
        quota_in(stub.client, HERE, CODE)


def test_each_quota_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def answer(client: Any, region: str, code: str) -> Quota | None:
        asked.append((region, code))
        return None if code == "L-417A185B" else Quota(code, region, 4.0)

    monkeypatch.setattr("runner.clouds.aws.api.quota_in", answer)
    names = ("g5.xlarge", "g6.xlarge", "p4d.24xlarge", "trn1.2xlarge")
    offers = [Offer(name, HERE, False, 1.0, "A10G", 1, 24.0) for name in names]

    found = open_aws(KEYS, now=RealWorld().now).quotas(offers)

    assert sorted(asked) == [(HERE, "L-417A185B"), (HERE, CODE)]
    assert found == {offer: Quota(CODE, HERE, 4.0) for offer in offers[:2]}


def test_a_slow_answer_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Any] = []
    monkeypatch.setattr("runner.clouds.aws.api.quota_in", lambda client, region, code: clients.append(client))

    open_aws(KEYS, now=RealWorld().now).quotas([Offer("g5.xlarge", HERE, False, 1.0, "A10G", 1, 24.0)])

    (config,) = [client.meta.config for client in clients]
    assert (config.connect_timeout, config.read_timeout) == (2, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}


def test_an_emulator_without_quotas_reports_none() -> None:
    with mock_aws():
        assert open_aws(KEYS, now=RealWorld().now).quotas([Offer("g5.xlarge", HERE, False, 1.0, "A10G", 1, 24.0)]) == {}
