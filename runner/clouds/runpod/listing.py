"""What of RunPod's lists is Douse's: whose an entry is has to be readable, and all else about it may be odd."""

from __future__ import annotations

from collections.abc import Mapping

from runner.cloud_api.answers import read_entry
from runner.cloud_api.labels import EXPIRES_TAG, RUN_TAG, expiry_of, is_ours_if_read, odd_expiry_of, run_of
from runner.cloud_api.listings import Wanted, price_or_none, text_or_none, untagged, wanted_id
from runner.cloud_api.models import Resource, Status
from runner.clouds.runpod.messages import GONE, RUNNING, ListedPod, ListedVolume
from runner.prices.price_list import disk_usd_per_h

CLOUD = "runpod"
LIST_PODS, LIST_VOLUMES = "list the pods", "list the network volumes"
EXPIRES_VARIABLE = "DOUSE_EXPIRES"
TAG_VARIABLES = {"DOUSE_RUN": RUN_TAG, EXPIRES_VARIABLE: EXPIRES_TAG}
"""A pod has no tags; its variables are given back, so they carry our marks."""
STATUS: dict[str, Status] = {
    "PROVISIONING": "pending",
    "STARTING": "pending",
    RUNNING: "running",
    "EXITED": "stopped",
}


def pod_in(entry: object, is_wanted: Wanted = is_ours_if_read) -> Resource | None:
    """Return the pod that an entry of the list is, or ``None`` for one that is not wanted or gone for good.

    Raises:
        UnreadableAnswerError: If neither can be said.
    """
    pod = read_entry(ListedPod, entry, cloud=CLOUD, doing=LIST_PODS)
    status, name, marks = text_or_none(pod.status), text_or_none(pod.name), _marks(pod.env)
    if status == GONE:
        return None
    pod_id = wanted_id(pod.id, is_wanted(name, marks), cloud=CLOUD, doing=LIST_PODS)
    if pod_id is None:
        return None
    return Resource(
        cloud=CLOUD,
        kind="instance",
        id=pod_id,
        name=name or "",
        region=text_or_none(pod.data_center_id),
        run_id=run_of(name or "", marks or {}),
        expires_at=expiry_of(marks or {}),
        odd_expiry=odd_expiry_of(marks or {}),
        status=STATUS.get(status or "", "unknown"),
        address=_host(pod.ssh) if status == RUNNING else None,  # an ended one keeps showing a stale address
        price_usd_per_h=price_or_none(pod.cost),
        disk_usd_per_h=disk_usd_per_h(CLOUD, text_or_none(pod.data_center_id) or "", price_or_none(pod.disk)),
    )


def volume_in(entry: object) -> Resource | None:
    """Return the network volume that an entry of the list is, or ``None`` for one that is not ours.

    Raises:
        UnreadableAnswerError: If neither can be said.
    """
    volume = read_entry(ListedVolume, entry, cloud=CLOUD, doing=LIST_VOLUMES)
    region = text_or_none(volume.data_center)
    return untagged("volume", volume.id, volume.name, region, cloud=CLOUD, doing=LIST_VOLUMES)


def _marks(env: object) -> Mapping[str, str] | None:
    """Return our marks among a pod's variables, or ``None`` where its variables cannot be read."""
    if not isinstance(env, dict):
        return None
    return {tag: str(env[name]) for name, tag in TAG_VARIABLES.items() if name in env}


def _host(ssh: object) -> str | None:
    direct = ssh.get("direct") if isinstance(ssh, dict) else None
    return text_or_none(direct.get("host")) if isinstance(direct, dict) else None
