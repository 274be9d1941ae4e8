"""What RunPod takes is checked before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from runner.clouds.runpod.messages import CreatePod, Problem, RentedPod, VolumeMount


def pod(**changes: Any) -> CreatePod:
    given: dict[str, Any] = {
        "name": "douse-pod",
        "image": "runpod/pytorch:1",
        "gpu_id": "NVIDIA GeForce RTX 4090",
        "disk_gb": 50,
        "env": {"DOUSE_RUN": "r", "HF_TOKEN": "top-secret"},
    }
    return CreatePod(**(given | changes))


FULL: dict[str, Any] = {
    "gpu_count": 2,
    "cloud": "COMMUNITY",
    "data_center_ids": ("US-KS-2",),
    "ports": ("22/tcp", "8888/http"),
    "min_cuda_version": "12.8",
    "start_ssh": False,
    "volume": VolumeMount(volume_id="v1", path="/workspace"),
    "registry_id": "r1",
}


def test_what_is_not_set_is_not_sent() -> None:
    assert pod().body() == {
        "name": "douse-pod",
        "image": "runpod/pytorch:1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "disk": 50,
        "cloud": "SECURE",
        "ports": ["22/tcp"],
        "env": {"DOUSE_RUN": "r", "HF_TOKEN": "top-secret"},
        "startSsh": True,
    }


def test_everything_that_is_set_is_sent() -> None:
    assert pod(**FULL).body() == {
        "name": "douse-pod",
        "image": "runpod/pytorch:1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 2, "minCudaVersion": "12.8"},
        "disk": 50,
        "cloud": "COMMUNITY",
        "dataCenterIds": ["US-KS-2"],
        "ports": ["22/tcp", "8888/http"],
        "env": {"DOUSE_RUN": "r", "HF_TOKEN": "top-secret"},
        "startSsh": False,
        "mounts": {"network": [{"volumeId": "v1", "path": "/workspace"}]},
        "registry": "r1",
    }


def test_graphql_takes_the_same_in_its_own_words() -> None:
    assert pod(**FULL).graphql_input() == {
        "name": "douse-pod",
        "imageName": "runpod/pytorch:1",
        "gpuTypeId": "NVIDIA GeForce RTX 4090",
        "gpuCount": 2,
        "cloudType": "COMMUNITY",
        "dataCenterId": "US-KS-2",
        "containerDiskInGb": 50,
        "volumeInGb": 0,
        "ports": "22/tcp,8888/http",
        "env": [{"key": "DOUSE_RUN", "value": "r"}, {"key": "HF_TOKEN", "value": "top-secret"}],
        "startSsh": False,
        "supportPublicIp": True,
        "minCudaVersion": "12.8",
        "networkVolumeId": "v1",
        "volumeMountPath": "/workspace",
        "containerRegistryAuthId": "r1",
    }


def test_the_images_own_start_is_left_alone() -> None:
    assert "dockerArgs" not in pod(**FULL).graphql_input()
    assert "args" not in pod(**FULL).body()


def test_a_command_in_its_place_goes_out_by_both_apis() -> None:
    wanted = pod(**FULL, start_command="bash -c 'exec /start.sh'")

    assert wanted.body()["args"] == "bash -c 'exec /start.sh'"
    assert wanted.graphql_input()["dockerArgs"] == "bash -c 'exec /start.sh'"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "at least 1"),
        ({"image": ""}, "at least 1"),
        ({"gpu_id": ""}, "at least 1"),
        ({"gpu_count": 0}, "greater than or equal to 1"),
        ({"disk_gb": 0}, "greater than or equal to 1"),
        ({"cloud": "ALL"}, "'SECURE' or 'COMMUNITY'"),
        ({"data_center_ids": ("us-ks-2",)}, "match pattern"),
        ({"ports": ("22",)}, "port 22 is not"),
        ({"ports": ("0/tcp",)}, "port 0/tcp is not"),
        ({"ports": ("²/tcp",)}, "port ²/tcp is not"),
        ({"ports": ("65536/tcp",)}, "port 65536/tcp is not"),
        ({"ports": ("22/udp",)}, "port 22/udp is not"),
        ({"min_cuda_version": "12"}, "match pattern"),
        ({"env": {"A": 1}}, "valid string"),
        ({"interruptible": True}, "Extra inputs"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        pod(**changes)


def test_variables_are_shown_nowhere() -> None:
    assert "top-secret" not in repr(pod()) + str(pod())
    with pytest.raises(ValidationError) as caught:
        pod(name="")
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"cost": 0.44}, 0.44),
        ({"costPerHr": 0.3}, 0.3),
        ({"cost": 0}, None),
        ({"cost": "cheap"}, None),
        ({"costPerHr": None}, None),
        ({}, None),
    ],
)
def test_a_strange_price_does_not_hide_the_pod(told: dict[str, Any], expected: float | None) -> None:
    rented = RentedPod.model_validate({"id": "p1", **told})

    assert (rented.id, rented.price_usd_per_h) == ("p1", expected)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": {}}', b'{"title": "x", "status": 400}'])
def test_what_is_no_problem_is_none(body: bytes) -> None:
    assert Problem.read(body) is None
