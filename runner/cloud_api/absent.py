"""An account whose client is not installed: it is there, and nothing can be learnt of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runner.cloud_api.models import Account, Listing, Offer, Quota, Resource, TrustWanted
from runner.errors import CloudUnavailableError


def not_installed(cloud: str, package: str) -> CloudUnavailableError:
    """Return the error for a client that is not installed; that is never the same as an account with nothing in it."""
    return CloudUnavailableError(
        f"{cloud}: {package} is not installed here, so {cloud} cannot be asked",
        resolution=f"install it by `make plan ENV={cloud}`, then repeat the command",
    )


class AbsentCloud:
    """Stands for an account that cannot be asked; whoever looks through all accounts names it as not read."""

    def __init__(self, name: str, package: str) -> None:
        """Keep the cloud's name, and that of the package that is missing."""
        self._name, self._package = name, package

    @property
    def name(self) -> str:
        """Return the name of the cloud."""
        return self._name

    def account(self) -> Account:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def fingerprint(self, salt: str) -> str:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def listing(self) -> Listing:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def end(self, resource: Resource) -> None:
        """Refuse."""
        raise not_installed(self._name, self._package)

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        """Refuse."""
        raise not_installed(self._name, self._package)
