"""The one list of clouds, and how their accounts are opened. A new cloud is a line here and a folder beside it.

The help of the command line is made from the list, so importing it loads nothing that takes time: what opens an account
is imported when one is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.cloud_api.environment import CloudRecord, NotThere
from runner.clouds.aws.cloud import RECORD as AWS
from runner.clouds.lambda_cloud.cloud import RECORD as LAMBDA
from runner.clouds.runpod.cloud import RECORD as RUNPOD

if TYPE_CHECKING:
    from runner.cloud_api.credentials import Environ
    from runner.cloud_api.models import Cloud
    from runner.world import World

CLOUDS: Mapping[str, CloudRecord] = {record.name: record for record in (LAMBDA, RUNPOD, AWS)}


def find_cloud(name: str) -> CloudRecord:
    """Return the record of a cloud.

    Raises:
        UsageError: If there is no such cloud.
    """
    if name not in CLOUDS:
        from runner.errors import UsageError

        raise UsageError(f"there is no cloud {name}", resolution=f"choose one of {', '.join(CLOUDS)}")
    return CLOUDS[name]


def endpoint_of(name: str, environ: Environ) -> str:
    """Return the address that an account on a cloud is first asked at."""
    return find_cloud(name).endpoint(environ)


def open_cloud(name: str, world: World) -> Cloud:
    """Return the account that the environment names on a cloud.

    Raises:
        UsageError: If there is no such cloud.
        AccountError: If the environment names no account; the resolution says what to set.
    """
    return _open(find_cloud(name), world)


def _open(record: CloudRecord, world: World) -> Cloud:
    from runner.cloud_api.pacing import Timer

    return record.open(world.environ, timer=Timer(world))


def configured(world: World) -> list[Cloud]:
    """Return the accounts that the environment names, on all clouds.

    Raises:
        AccountError: If an account is named, but its key cannot be read: that is never the same as no account.
    """
    from runner.cloud_api.credentials import NotConfiguredError

    found = []
    for record in CLOUDS.values():
        try:
            found.append(_open(record, world))
        except NotConfiguredError:
            continue
    return found


@dataclass(frozen=True)
class Accounts:
    """What the environment names of accounts.

    Attributes:
        opened: The accounts that can be asked.
        unnamed: The clouds of which the environment names no account, with what says so.
        unreadable: The clouds of which it names one that cannot be opened, with the reason: the key is in a file that
            is not there, say. What the account holds is unknown, which is never the same as no account.
    """

    opened: list[Cloud]
    unnamed: dict[str, str]
    unreadable: dict[str, str]

    @property
    def closed(self) -> dict[str, str]:
        """All clouds that cannot be asked, with reasons."""
        return self.unnamed | self.unreadable


def accounts(world: World) -> Accounts:
    """Return the accounts that the environment names, and why the other clouds cannot be asked.

    For whoever terminates or sweeps: a key that cannot be read on one cloud must not keep the others from being asked.
    """
    from runner.cloud_api.credentials import NotConfiguredError
    from runner.errors import RunnerError

    found = Accounts([], {}, {})
    for name, record in CLOUDS.items():
        try:
            found.opened.append(_open(record, world))
        except NotConfiguredError as err:
            found.unnamed[name] = err.message
        except RunnerError as err:
            found.unreadable[name] = err.message
        except Exception as err:  # noqa: BLE001 - whatever is wrong with one client, the other clouds are asked
            found.unreadable[name] = f"{name}: the account cannot be opened ({type(err).__name__}: {err})"
    return found


def names_account(record: CloudRecord, world: World) -> bool:
    """Return whether the environment names an account on a cloud, whether or not its key can be read."""
    from runner.cloud_api.credentials import NotConfiguredError
    from runner.errors import RunnerError

    try:
        _open(record, world)
    except NotConfiguredError:
        return False
    except RunnerError:
        return True
    return True


def real_variables() -> tuple[str, ...]:
    """Return the beginnings of the names of all variables that may lead to a real account."""
    return tuple(name for record in CLOUDS.values() for name in record.real_variables)


def gpuhunt_names() -> dict[str, str]:
    """Return gpuhunt's names of the clouds whose machine names it shares."""
    named = {name: record.prices.gpuhunt_name for name, record in CLOUDS.items()}
    return {name: found for name, found in named.items() if not isinstance(found, NotThere)}


def how_to_configure() -> str:
    """Return the variables to set when none is set."""
    *others, last = (record.account_words for record in CLOUDS.values())
    return f"set {', '.join(others)} or {last}, as for `make train`"
