"""Keys and file systems of the emulated Lambda Cloud."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runner.clouds.lambda_cloud.emulator.catalog import region
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import Leftover
from runner.emulation.meters import per_hour_of_month

FILESYSTEM_USD_PER_MONTH = 0.20
"""A file system bills what is in it; one GiB is taken for the meter."""


class LambdaStorage:
    """What an account holds besides instances."""

    def __init__(self, state: CloudState) -> None:
        """Begin with nothing."""
        self._state = state
        self._keys: dict[str, dict[str, str]] = {}
        self._filesystems: dict[str, dict[str, object]] = {}
        self.in_use: dict[str, set[str]] = {}

    def all_keys(self) -> list[dict[str, str]]:
        """Return every key."""
        return list(self._keys.values())

    def has_key(self, key_id: str) -> bool:
        """Return whether there is a key of this id."""
        return key_id in self._keys

    def public_key(self, name: str) -> str | None:
        """Return the public key of a name."""
        return next((key["public_key"] for key in self.all_keys() if key["name"] == name), None)

    def add_key(self, name: str, public_key: str) -> dict[str, str]:
        """Register a key."""
        key = {"id": self._state.token(16), "name": name, "public_key": public_key}
        self._keys[key["id"]] = key
        self._state.keep(Leftover("lambda", "key", key["id"], name))
        return key

    def delete_key(self, key_id: str) -> None:
        """Forget a key."""
        del self._keys[key_id]
        self._state.drop(key_id)

    def filesystems(self) -> list[dict[str, object]]:
        """Return every file system."""
        return [{**row, "is_in_use": bool(self.in_use.get(str(row["id"])))} for row in self._filesystems.values()]

    def add_filesystem(self, name: str, region_name: str) -> dict[str, object]:
        """Make a file system."""
        at = datetime.fromtimestamp(self._state.clock(), UTC)
        row: dict[str, object] = {
            "id": self._state.token(16),
            "name": name,
            "mount_point": f"/lambda/nfs/{name}",
            "created": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "created_by": {"id": "0" * 32, "email": "rehearsal@example.com", "status": "active"},
            "is_in_use": False,
            "region": region(region_name),
            "bytes_used": 0,
        }
        self._filesystems[str(row["id"])] = row
        meter = self._state.new_meter(per_hour_of_month(FILESYSTEM_USD_PER_MONTH))
        self._state.keep(Leftover("lambda", "volume", str(row["id"]), name, region_name, meter))
        return row

    def delete_filesystem(self, filesystem_id: str) -> None:
        """Forget a file system."""
        del self._filesystems[filesystem_id]
        self._state.drop(filesystem_id)


def openssh_pair() -> tuple[str, str]:
    """Return a private and a public key, as the cloud makes them when it is given none."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()
