"""The user data of a machine, as cloud-init reads it before its first boot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from runner.adapters.keys import public_key


def cloud_config(host_key: Path, commands: Sequence[Sequence[str]] = ()) -> str:
    """Return the cloud-config of a machine that proves itself by a key of the run's own.

    Args:
        host_key: File of the private half of the key; the public one lies beside it.
        commands: What the first boot runs.
    """
    config: dict[str, Any] = {
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": host_key.read_text(encoding="ascii"),
            "ed25519_public": public_key(host_key),
        },
    }
    if commands:
        config["runcmd"] = [list(words) for words in commands]
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)
