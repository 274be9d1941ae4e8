"""What Lambda Cloud v1 takes and gives (specification 1.10.0). Unknown fields of an answer are left unread."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, StringConstraints, field_validator

from runner.cloud_api.answers import Answered, Count, Envelope, Sent
from runner.clouds.lambda_cloud.tags import LONGEST_KEY, LONGEST_VALUE, TAG_KEY, is_tag_key

MAX_USER_DATA_BYTES = 1_000_000
GONE = frozenset({"terminated", "preempted"})
"""States after which a machine is gone for good."""
ENDING = frozenset({"terminating"}) | GONE

Content = TypeVar("Content")
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class LaunchRequest(Sent):
    """One machine to rent.

    Attributes:
        region_name: Where.
        instance_type_name: The kind of machine.
        ssh_key_name: Name of a registered key; the API takes exactly one.
        name: Name of the machine.
        user_data: cloud-config text, at most 1 MB; the API never gives it back.
        tags: Marks on the machine.
        hostname: Host name, or ``None`` for the cloud's own.
        image_family: Family of the machine image, or ``None`` for the newest Lambda Stack.
        file_system_names: File systems of the same region to mount.
    """

    region_name: Text
    instance_type_name: Text
    ssh_key_name: Name
    name: Name
    user_data: str | None = Field(default=None, repr=False)
    tags: dict[str, str] = Field(default_factory=dict)
    hostname: str | None = Field(default=None, pattern=r"^[a-z0-9][0-9a-z-]{0,62}$")
    image_family: str | None = None
    file_system_names: tuple[str, ...] = ()

    @field_validator("user_data")
    @classmethod
    def _check_size(cls, value: str | None) -> str | None:
        if value is not None and len(value.encode()) > MAX_USER_DATA_BYTES:
            raise ValueError(f"user_data has {len(value.encode())} bytes, more than {MAX_USER_DATA_BYTES}")
        return value

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, value: dict[str, str]) -> dict[str, str]:
        for key, text in value.items():
            if not is_tag_key(key):
                raise ValueError(f"tag {key} does not match {TAG_KEY.pattern} (at most {LONGEST_KEY} characters)")
            if len(text) > LONGEST_VALUE:
                raise ValueError(f"tag {key} has {len(text)} characters, more than {LONGEST_VALUE}")
        return value

    def body(self) -> dict[str, Any]:
        """Return the request's body; what is not set is not sent."""
        body: dict[str, Any] = {
            "region_name": self.region_name,
            "instance_type_name": self.instance_type_name,
            "ssh_key_names": [self.ssh_key_name],
            "name": self.name,
        }
        if self.user_data is not None:
            body["user_data"] = self.user_data
        if self.tags:
            body["tags"] = [{"key": key, "value": value} for key, value in self.tags.items()]
        if self.hostname is not None:
            body["hostname"] = self.hostname
        if self.image_family is not None:
            body["image"] = {"family": self.image_family}
        if self.file_system_names:
            body["file_system_names"] = list(self.file_system_names)
        return body


class Region(Answered):
    """A place."""

    name: Text


class Specs(Answered):
    """What is in a machine."""

    vcpus: int
    memory_gib: Count
    storage_gib: Count
    gpus: int


class InstanceType(Answered):
    """A kind of machine; the price is in US cents an hour for the whole of it."""

    name: Text
    description: str
    gpu_description: str
    price_cents_per_hour: Count
    specs: Specs


class ListedType(Answered):
    """A kind of machine, and where it can be had now; the list is advice, launches are refused all the same."""

    instance_type: InstanceType
    regions_with_capacity_available: list[Region]


class Tag(Answered):
    """A mark on a machine."""

    key: str
    value: str


class Instance(Answered):
    """A machine. ``name`` and ``ip`` may be absent, the address until late in the boot."""

    id: Text
    status: Text
    ssh_key_names: list[str]
    file_system_names: list[str]
    region: Region
    instance_type: InstanceType
    name: str | None = None
    ip: str | None = None
    hostname: str | None = None
    tags: list[Tag] | None = None

    @property
    def marks(self) -> dict[str, str]:
        """Return the tags by key."""
        return {tag.key: tag.value for tag in self.tags or ()}

    @property
    def is_ending(self) -> bool:
        """Return whether the machine is on its way out, or out."""
        return self.status in ENDING

    @property
    def price_usd_per_h(self) -> float:
        """Return the price in US dollars an hour."""
        return self.instance_type.price_cents_per_hour / 100


class ListedInstance(Answered):
    """A machine of a list: all may be odd here, for a stranger's machine must not hide ours."""

    id: Any = None
    name: Any = None
    tags: Any = None
    status: Any = None
    ip: Any = None
    region: Any = None
    instance_type: Any = None


class ListedKey(Answered):
    """A key of a list; all may be odd here, as in ``ListedInstance``."""

    id: Any = None
    name: Any = None


class ListedFileSystem(Answered):
    """A file system of a list, which outlives machines; all may be odd here, as in ``ListedInstance``."""

    id: Any = None
    name: Any = None
    region: Any = None


class SshKey(Answered):
    """A registered public key."""

    id: Text
    name: str
    public_key: str

    def holds(self, public_key: str) -> bool:
        """Return whether this is the same key; the comment does not count."""
        return self.public_key.split()[:2] == public_key.split()[:2]


class Launched(Answered):
    """Answer to a launch."""

    instance_ids: list[Text]

    @property
    def only(self) -> str | None:
        """Return the id of the one machine, or ``None`` if there is not exactly one."""
        return self.instance_ids[0] if len(self.instance_ids) == 1 else None


class Data(Envelope, Generic[Content]):
    """The envelope of a success."""

    data: Content


_ENVELOPES: dict[Any, Any] = {}


def data_of(content: type[Content]) -> type[Data[Content]]:
    """Return the envelope of a success with such content; made once, for making one takes longer than reading it."""
    if content not in _ENVELOPES:
        _ENVELOPES[content] = Data[content]  # type: ignore[valid-type]
    found: type[Data[Content]] = _ENVELOPES[content]
    return found


class EndedInstance(Answered):
    """A machine that was asked to end."""

    id: Text


class Ended(Answered):
    """Answer to a terminate."""

    terminated_instances: list[EndedInstance]

    def names(self, instance_id: str) -> bool:
        """Return whether the answer speaks of this machine."""
        return any(ended.id == instance_id for ended in self.terminated_instances)


class Refused(Answered):
    """The cloud's word for a failure."""

    code: Text
    message: str = ""
    suggestion: str | None = None


class Refusal(Answered):
    """The envelope of a failure."""

    error: Refused

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """Return the failure in a body, or ``None`` if the body is something else."""
        try:
            return cls.model_validate_json(body)
        except ValueError:
            return None
