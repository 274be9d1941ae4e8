"""Registered keys on Lambda."""

from __future__ import annotations

import pytest

from tests.unit.runner.provider.conftest import Module, told
from tests.unit.runner.provider.fake_clouds import Clouds


def key(public_key: str = "ssh-ed25519 AAAAbox run", name: str = "douse-run") -> str:
    return f'resource "douse_lambda_ssh_key" "key" {{\n  name = "{name}"\n  public_key = "{public_key}"\n}}\n'


def test_a_key_is_registered_known_again_and_removed(module: Module, clouds: Clouds) -> None:
    module.write(key())

    assert module.apply().returncode == 0
    assert module.only()["attributes"] == {"id": "k1", "name": "douse-run", "public_key": "ssh-ed25519 AAAAbox run"}
    assert module.plan() == 0
    assert module.destroy().returncode == 0
    assert list(clouds.on_lambda.keys) == ["k0"]


def test_a_key_without_its_comment_is_the_same_key(module: Module, clouds: Clouds) -> None:
    module.write(key()).apply()
    clouds.on_lambda.keys["k1"]["public_key"] = "ssh-ed25519 AAAAbox"

    assert module.plan() == 0


def test_another_key_under_the_same_id_is_replaced(module: Module, clouds: Clouds) -> None:
    module.write(key()).apply()
    clouds.on_lambda.keys["k1"]["public_key"] = "ssh-ed25519 AAAAevil"

    assert "1 to add, 0 to change, 1 to destroy" in module.run("plan").stdout


def test_a_key_that_is_gone_is_registered_again(module: Module, clouds: Clouds) -> None:
    module.write(key()).apply()
    del clouds.on_lambda.keys["k1"]

    assert "1 to add" in module.run("plan").stdout
    assert module.destroy().returncode == 0


def test_a_key_is_imported_by_its_id(module: Module, clouds: Clouds) -> None:
    module.write(key("ssh-ed25519 AAAAmine", "mine"))

    module.done("import", "douse_lambda_ssh_key.key", "k0")

    assert module.plan() == 0


def test_an_import_of_no_key_is_an_error(module: Module) -> None:
    module.write(key())

    assert "there is no SSH key k9" in told(module.run("import", "douse_lambda_ssh_key.key", "k9"))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (key("-----BEGIN OPENSSH PRIVATE KEY----- abc"), "public_key is a private key"),
        (key("nonsense"), "public_key must be one line of an OpenSSH public key"),
        (key(name="x" * 65), "name must have 1 to 64 characters"),
    ],
)
def test_what_lambda_would_refuse_is_refused_by_validate(module: Module, block: str, words: str) -> None:
    validated = module.write(block).run("validate")

    assert validated.returncode == 1
    assert words in told(validated)
