"""The provider block of any clouds: what stands above the environment, what is never shown, one client for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from runner.cloud_api.pacing import Timer
from runner.provider.rental import RentalProvider, block_attrs
from runner.simulation.world import VirtualWorld

VARIABLES = {"acme_api_key": "ACME_API_KEY", "acme_endpoint": "ACME_ENDPOINT", "other_api_key": "OTHER_API_KEY"}


class Acme(RentalProvider):
    """A provider of two clouds that there are not."""

    variables: ClassVar[Mapping[str, str]] = VARIABLES


class Client:
    """An account, and what opened it."""

    def __init__(self, environ: Mapping[str, str], timer: Timer) -> None:
        self.key, self.timer = environ["ACME_API_KEY"], timer


def open_acme(environ: Mapping[str, str], *, timer: Timer) -> Client:
    return Client(environ, timer)


def open_other(environ: Mapping[str, str], *, timer: Timer) -> Client:
    return Client(environ, timer)


def test_everybody_gets_the_same_client_of_a_cloud_and_each_cloud_has_its_own() -> None:
    provider = Acme(VirtualWorld(environ={"ACME_API_KEY": "one"}))

    assert provider.client(open_acme) is provider.client(open_acme)
    assert provider.client(open_acme) is not provider.client(open_other)
    assert provider.client(open_acme).timer is provider.client(open_other).timer is not None


def test_the_block_stands_above_the_environment_where_it_says_something() -> None:
    provider = Acme(VirtualWorld(environ={"ACME_API_KEY": "one", "OTHER_API_KEY": "two"}))

    provider.configure({"acme_api_key": "three", "acme_endpoint": None, "other_api_key": ""})

    assert provider.client(open_acme).key == "three"
    assert provider.environ == {"ACME_API_KEY": "three", "OTHER_API_KEY": "two"}


def test_keys_are_secret_and_addresses_are_not() -> None:
    provider = Acme(
        VirtualWorld(environ={"ACME_API_KEY": "one", "ACME_ENDPOINT": "https://acme.test", "OTHER_API_KEY": ""})
    )

    assert provider.secrets() == {"one"}
    assert {name: attr.sensitive for name, attr in block_attrs(VARIABLES).items()} == {
        "acme_api_key": True,
        "acme_endpoint": False,
        "other_api_key": True,
    }
