"""RunPod REST API v2: the bodies it takes, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from runner.emulation.calls import Strict

Filled = Annotated[str, StringConstraints(min_length=1)]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[^\s]+ [^\s]+([ \t][^\n\r]*)?$")]
CloudType = Literal["SECURE", "COMMUNITY"]
Action = Literal["start", "stop", "restart", "terminate"]


class Gpu(Strict):
    """Which GPU, and how many."""

    id: str
    count: Annotated[int, Field(ge=1)] = 1
    allowedCudaVersions: tuple[CudaVersion, ...] | None = None  # noqa: N815 - the vendor's name
    minCudaVersion: CudaVersion | None = None  # noqa: N815


class Cpu(Strict):
    """Which processor; pods without a GPU are not rehearsed."""

    id: str
    vcpuCount: int | None = None  # noqa: N815


class Persistent(Strict):
    """A disk on the pod's own host."""

    size: Annotated[int, Field(ge=10)]
    path: str


class Network(Strict):
    """A network volume."""

    volumeId: str  # noqa: N815
    path: str


class Mounts(Strict):
    """What is mounted."""

    persistent: Persistent | None = None
    network: Annotated[tuple[Network, ...], Field(max_length=1)] = ()


class Container(Strict):
    """What every pod has."""

    nullable = frozenset({"registry"})

    args: str = ""
    disk: Annotated[int, Field(ge=1)] = 50
    env: dict[str, str] = Field(default_factory=dict)
    image: str | None = None
    ports: tuple[str, ...] = ()
    registry: str | None = None


class CreatePod(Container):
    """Body of ``POST /v2/pods``."""

    name: Filled
    cloud: CloudType = "SECURE"
    cpu: Cpu | None = None
    dataCenterIds: tuple[str, ...] = ()  # noqa: N815
    globalNetworking: bool = False  # noqa: N815
    gpu: Gpu | None = None
    mounts: Mounts = Mounts()
    startJupyter: bool = False  # noqa: N815
    startSsh: bool = False  # noqa: N815
    templateId: Filled | None = None  # noqa: N815

    @model_validator(mode="after")
    def _has_image(self) -> CreatePod:
        if self.image is None and self.templateId is None:
            raise ValueError("missing property 'image'")
        return self


class UpdatePod(Strict):
    """Body of ``PATCH /v2/pods/{id}``."""

    nullable = frozenset({"registry"})

    args: str | None = None
    disk: Annotated[int, Field(ge=1)] | None = None
    env: dict[str, str] | None = None
    image: str | None = None
    ports: tuple[str, ...] | None = None
    registry: str | None = None
    name: Filled | None = None
    locked: bool | None = None
    globalNetworking: bool | None = None  # noqa: N815
    mounts: Mounts | None = None
    templateId: str | None = None  # noqa: N815


class PodAction(Strict):
    """Body of ``POST /v2/pods/{id}/action``."""

    action: Action


class SshKeys(Strict):
    """Body of ``PUT /v2/account/ssh-keys``."""

    keys: tuple[PublicKey, ...]


class NewVolume(Strict):
    """Body of ``POST /v2/network-volumes``."""

    name: Filled
    size: Annotated[int, Field(ge=10, le=4096)]
    dataCenter: Filled  # noqa: N815
    type: Literal["STANDARD", "HIGH_PERFORMANCE"] = "STANDARD"


class ChangedVolume(Strict):
    """Body of ``PATCH /v2/network-volumes/{id}``."""

    name: Filled | None = None
    size: Annotated[int, Field(ge=10, le=4096)] | None = None

    @model_validator(mode="after")
    def _has_something(self) -> ChangedVolume:
        if not self.model_fields_set:
            raise ValueError("minProperties: got 0, want 1")
        return self
