"""What the kit asks of an emulated cloud: settings by name, logins by their URL."""

from __future__ import annotations

import pytest

from runner.emulation.cloud_state import CloudState
from runner.emulation.fault_table import CloudFaults
from runner.emulation.service import EmulatedCloud, Logins, Service, Setting, chosen_settings
from runner.errors import UsageError


def build(state: CloudState) -> Service:
    raise NotImplementedError


ACME = EmulatedCloud(
    name="acme",
    build=build,
    environment=lambda endpoints: {},
    faults=CloudFaults(frozenset()),
    settings={"pace_s": Setting(1.5, "ACME_PACE_S"), "quota": Setting(60)},
    no_account={},
    other_account={},
    why_no_logins=None,
)


@pytest.mark.parametrize(
    ("given", "environ", "pace_s"),
    [
        ({}, {}, 1.5),
        ({}, {"ACME_PACE_S": "0.2"}, 0.2),
        ({}, {"ACME_PACE_S": " "}, 1.5),
        ({"acme.pace_s": "0"}, {"ACME_PACE_S": "0.2"}, 0.0),
    ],
)
def test_a_setting_is_as_given_else_as_its_variable_has_it_else_the_default(
    given: dict[str, str], environ: dict[str, str], pace_s: float
) -> None:
    assert chosen_settings([ACME], given, environ) == {"acme": {"pace_s": pace_s, "quota": 60.0}}


def test_a_setting_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no setting acme\.pace") as refused:
        chosen_settings([ACME], {"acme.pace": "1"}, {})

    assert refused.value.resolution == "known: acme.pace_s, acme.quota"


@pytest.mark.parametrize("text", ["", "soon"])
def test_a_setting_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf"acme\.quota is '{text}'"):
        chosen_settings([ACME], {"acme.quota": text}, {})


@pytest.mark.parametrize(
    ("endpoints", "logins"),
    [
        ({"logins": "ssh://me@127.0.0.1:2222"}, Logins("me", 2222)),
        ({"control": "http://127.0.0.1:1"}, None),
    ],
)
def test_logins_are_read_where_boxes_are_logins(endpoints: dict[str, str], logins: Logins | None) -> None:
    assert Logins.read(endpoints) == logins
