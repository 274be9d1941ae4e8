"""What RunPod's REST v2 takes and gives. Unknown fields of an answer are left unread."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator

from runner.cloud_api.answers import Answered, Count, Envelope, Sent
from runner.cloud_api.listings import price_or_none
from runner.cloud_api.models import Trust

CloudType = Literal["SECURE", "COMMUNITY"]
CLOUD_TYPES: dict[Trust, CloudType] = {"secure": "SECURE", "community": "COMMUNITY"}
RUNNING = "RUNNING"
GONE = "TERMINATED"
NO_STOCK = "NONE"

Text = Annotated[str, StringConstraints(min_length=1)]
DataCenterId = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]+$")]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]


class VolumeMount(Sent):
    """A network volume in a pod; both have to be in the same data centre."""

    volume_id: Text
    path: Text


class CreatePod(Sent):
    """One pod to rent.

    Attributes:
        name: Name of the pod.
        image: Container image; it has to start sshd itself.
        gpu_id: The GPU's id, such as ``NVIDIA GeForce RTX 4090``.
        gpu_count: GPUs in the pod.
        disk_gb: Disk of the container in GB; its content is lost with the container.
        cloud: ``SECURE`` (data centres) or ``COMMUNITY`` (other people's machines).
        data_center_ids: Where, in the order of preference; empty lets the scheduler choose. Upper case: the API takes
            lower case and breaks.
        ports: Ports to publish as ``port/protocol``.
        start_command: What the container's entry point gets in place of the image's own command.
        env: Variables of the container. The API gives them back to whoever holds the account's key.
        min_cuda_version: Least CUDA version of the host's driver.
        start_ssh: Whether RunPod puts the account's public keys into ``PUBLIC_KEY``, unless ``env`` sets it.
        volume: A network volume to mount.
        registry_id: Credentials for a private image.
    """

    name: Text
    image: Text
    gpu_id: Text
    gpu_count: int = Field(default=1, ge=1)
    disk_gb: int = Field(ge=1)
    cloud: CloudType = "SECURE"
    data_center_ids: tuple[DataCenterId, ...] = ()
    ports: tuple[str, ...] = ("22/tcp",)
    start_command: Text | None = None
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    min_cuda_version: CudaVersion | None = None
    start_ssh: bool = True
    volume: VolumeMount | None = None
    registry_id: str | None = None

    @field_validator("ports")
    @classmethod
    def _check_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for port in value:
            number, _, protocol = port.partition("/")
            if not number.isdecimal() or not 1 <= int(number) <= 65535 or protocol not in {"tcp", "http"}:
                raise ValueError(f"port {port} is not <1..65535>/tcp or /http")
        return value

    def body(self) -> dict[str, Any]:
        """Return the body of a REST v2 request; what is not set is not sent."""
        gpu: dict[str, Any] = {"id": self.gpu_id, "count": self.gpu_count}
        if self.min_cuda_version is not None:
            gpu["minCudaVersion"] = self.min_cuda_version
        body: dict[str, Any] = {
            "name": self.name,
            "image": self.image,
            "gpu": gpu,
            "disk": self.disk_gb,
            "cloud": self.cloud,
            "ports": list(self.ports),
            "env": dict(self.env),
            "startSsh": self.start_ssh,
        }
        if self.start_command is not None:
            body["args"] = self.start_command
        if self.data_center_ids:
            body["dataCenterIds"] = list(self.data_center_ids)
        if self.volume is not None:
            body["mounts"] = {"network": [{"volumeId": self.volume.volume_id, "path": self.volume.path}]}
        if self.registry_id is not None:
            body["registry"] = self.registry_id
        return body

    def graphql_input(self) -> dict[str, Any]:
        """Return the same as an ``input`` of the GraphQL API, which takes one data centre: the first."""
        found: dict[str, Any] = {
            "name": self.name,
            "imageName": self.image,
            "gpuTypeId": self.gpu_id,
            "gpuCount": self.gpu_count,
            "cloudType": self.cloud,
            "containerDiskInGb": self.disk_gb,
            "volumeInGb": 0,
            "ports": ",".join(self.ports),
            "env": [{"key": key, "value": value} for key, value in self.env.items()],
            "startSsh": self.start_ssh,
            "supportPublicIp": True,
        }
        if self.start_command is not None:
            found["dockerArgs"] = self.start_command
        if self.data_center_ids:
            found["dataCenterId"] = self.data_center_ids[0]
        if self.min_cuda_version is not None:
            found["minCudaVersion"] = self.min_cuda_version
        if self.volume is not None:
            found |= {"networkVolumeId": self.volume.volume_id, "volumeMountPath": self.volume.path}
        if self.registry_id is not None:
            found["containerRegistryAuthId"] = self.registry_id
        return found


class RentedPod(Answered):
    """What is read right after a pod was rented: its id, and nothing that could hide it by being wrong."""

    id: Text
    cost: Any = None
    cost_per_hr: Any = Field(default=None, alias="costPerHr")

    @property
    def price_usd_per_h(self) -> float | None:
        """Return the price of the whole pod in US dollars an hour, or ``None`` where it is unknown."""
        reported = self.cost if self.cost is not None else self.cost_per_hr
        return price_or_none(reported) or None


class SshAddress(Answered):
    """Where sshd answers."""

    host: Text
    port: int = Field(ge=1, le=65535)
    username: Text


class PodSsh(Answered):
    """Ways into a pod; the proxy gives a shell for people only (no file transfer), so it is left unread."""

    direct: SshAddress | None


class PodGpu(Answered):
    """The GPUs of a pod."""

    id: Text
    count: int = 1


class Pod(Answered):
    """A pod. An ended one keeps showing stale addresses: read ``ssh_address``."""

    id: Text
    name: str
    status: Text
    image: str
    env: dict[str, str] = Field(repr=False)
    cloud: str
    data_center_id: str | None = Field(alias="dataCenterId")
    cost: float = Field(ge=0)
    locked: bool
    ssh: PodSsh
    gpu: PodGpu | None = None
    created_at: str = Field(alias="createdAt")

    @property
    def ssh_address(self) -> SshAddress | None:
        """Return where sshd answers, or ``None`` until the port is mapped and the pod runs."""
        return self.ssh.direct if self.status == RUNNING else None


class ListedPod(Answered):
    """A pod of a list: all may be odd here, for a stranger's pod must not hide ours."""

    id: Any = None
    name: Any = None
    status: Any = None
    env: Any = Field(default=None, repr=False)
    data_center_id: Any = Field(default=None, alias="dataCenterId")
    cost: Any = None
    disk: Any = None
    ssh: Any = None


class Pagination(Answered):
    """Whether a list goes on, in answers since autumn 2026."""

    has_next_page: bool = Field(alias="hasNextPage")
    next_cursor: str | None = Field(default=None, alias="nextCursor")

    @property
    def following(self) -> str | None:
        """Return where the next page begins, or ``None`` after the last.

        Raises:
            ValueError: If it says that there is one and not where, or where and that there is none.
        """
        if self.has_next_page != bool(self.next_cursor):
            raise ValueError("hasNextPage and nextCursor contradict each other")
        return self.next_cursor or None


class Page(Envelope):
    """A page of a list; one without ``pagination``, as in the vendor's file of August 2026, is all of it.

    What it says of the next page is read after its entries: those are there whatever that may be.
    """

    entries: list[Any]
    pagination: Any = None

    @property
    def following(self) -> str | None:
        """Return where the next page begins, or ``None`` after the last.

        Raises:
            ValueError: If it says neither.
        """
        if "pagination" not in self.model_fields_set:
            return None
        return Pagination.model_validate(self.pagination).following


class PodList(Page):
    """Answer to a listing of pods."""

    entries: list[Any] = Field(alias="pods")


class GpuPrice(Answered):
    """US dollars an hour for one GPU."""

    secure: float = Field(ge=0)
    community: float = Field(ge=0)


class GpuMaxCount(Answered):
    """The most GPUs in one pod."""

    secure: int
    community: int


class DataCenter(Answered):
    """How much of one GPU a data centre has."""

    id: Text
    availability: Text


class Gpu(Answered):
    """A GPU of the catalogue; availability is there only when it was asked for."""

    id: Text
    name: str
    memory: Count
    secure: bool
    community: bool
    price: GpuPrice
    max_count: GpuMaxCount = Field(alias="maxCount")
    availability: Text | None = None
    data_centers: list[DataCenter] | None = Field(default=None, alias="dataCenters")

    def price_usd_per_h(self, trust: Trust) -> float:
        """Return the price of one in US dollars per hour, or 0 where there is none of this trust."""
        if trust == "secure":
            return self.price.secure if self.secure else 0.0
        return self.price.community if self.community else 0.0


class GpuList(Page):
    """Answer to a listing of the catalogue."""

    entries: list[Any] = Field(alias="gpus")


class ListedVolume(Answered):
    """A disk that outlives pods and costs money by the month; all may be odd here, as in ``ListedPod``."""

    id: Any = None
    name: Any = None
    data_center: Any = Field(default=None, alias="dataCenter")


class NetworkVolumeList(Page):
    """Answer to a listing of network volumes."""

    entries: list[Any] = Field(alias="networkVolumes")


class PodBill(Answered):
    """What a pod cost in a span of time, in US dollars."""

    pod_id: str = Field(alias="podId")
    start_time: datetime = Field(alias="startTime")
    end_time: datetime = Field(alias="endTime")
    total_usd: float = Field(alias="totalAmount")
    gpu_usd: float = Field(alias="gpuAmount")
    disk_usd: float = Field(alias="diskAmount")


class PodBillList(Page):
    """Answer to a question for bills."""

    entries: list[Any] = Field(alias="records")


class Problem(Answered):
    """A failure in the form of RFC 9457."""

    title: str
    status: int
    detail: str
    errors: list[str] | None = None

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """Return the failure in a body, or ``None`` if the body is something else."""
        try:
            return cls.model_validate_json(body)
        except ValueError:
            return None
