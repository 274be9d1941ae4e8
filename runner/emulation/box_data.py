"""User data as faults want it: a machine without its host key, with a dead GPU, or with a shutdown that hangs."""

from __future__ import annotations

from typing import Any

import yaml

HEADER = "#cloud-config\n"
SMI = "/usr/local/bin/nvidia-smi"
DEAD_GPU = """#!/bin/sh
# A GPU that nvidia-smi shows and that does not compute: there is no CUDA driver behind it.
case "$1" in
  -L) echo "GPU 0: NVIDIA A10 (UUID: GPU-8a56a4bc-e184-a047-2620-be19fdf913d5)" ;;
  --query-gpu=*)
    row=""
    for field in $(echo "${1#--query-gpu=}" | tr "," " "); do
      case "$field" in
        name) value="NVIDIA A10" ;;
        driver_version) value="580.95.05" ;;
        compute_cap) value="8.6" ;;
        memory.total) value="23028" ;;
        *) value="[N/A]" ;;
      esac
      row="${row:+$row, }$value"
    done
    echo "$row" ;;
  *) echo "NVIDIA-SMI 580.95.05" ;;
esac
"""

HANGS = "hangs.service"
HANGING = (
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\nExecStop=sleep infinity\nTimeoutStopSec=infinity\n"
)
"""A service that never stops, and with it the shutdown."""


def without_host_key(user_data: str | None) -> str | None:
    """Return user data in which the host key is missing, so that the machine makes one of its own."""
    settings = _read(user_data)
    if settings is None or "ssh_keys" not in settings:
        return user_data
    return _written({name: value for name, value in settings.items() if name != "ssh_keys"})


def with_dead_gpu(user_data: str | None) -> str | None:
    """Return user data that also puts a GPU on the machine which ``nvidia-smi`` shows and which is dead."""
    settings = _read(user_data)
    if settings is None:
        return user_data
    files = [*(settings.get("write_files") or []), {"path": SMI, "content": DEAD_GPU, "permissions": "0755"}]
    return _written({**settings, "write_files": files})


def with_hanging_shutdown(user_data: str | None) -> str | None:
    """Return user data that also starts a service which keeps the machine from ever shutting down in order."""
    settings = _read(user_data)
    if settings is None:
        return user_data
    files = [*(settings.get("write_files") or []), {"path": f"/etc/systemd/system/{HANGS}", "content": HANGING}]
    commands = [*(settings.get("runcmd") or []), f"systemctl daemon-reload; systemctl start --no-block {HANGS}"]
    return _written({**settings, "write_files": files, "runcmd": commands})


def _read(user_data: str | None) -> dict[str, Any] | None:
    """Return the parsed user data, empty for none; ``None`` if the box itself must refuse it."""
    try:
        settings = yaml.safe_load(user_data or "")
    except yaml.YAMLError:
        return None
    if settings is None:
        return {}
    return settings if isinstance(settings, dict) else None


def _written(settings: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(settings, sort_keys=False)
