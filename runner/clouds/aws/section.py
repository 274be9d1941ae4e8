"""What only AWS has of the run file: ``compute.aws``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from runner.run.run_file import CloudSection, ComputeSection

MOST_TAGS = 40
"""AWS takes 50 on one resource. Four are ours, and an organisation may add some."""
TAG_TEXT = re.compile(r"[\w .:/=+@-]*")
"""EC2's own words: letters, spaces and numbers that UTF-8 can hold, and these characters."""
LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 128, 256
RESERVED = ("aws:", "douse-")


def _check_tags(tags: dict[str, str]) -> dict[str, str]:
    """Refuse tags that AWS would refuse once a machine is asked for, and those that are ours."""
    if len(tags) > MOST_TAGS:
        raise ValueError(f"{len(tags)} tags, and {MOST_TAGS} are the most")
    for key, value in tags.items():
        if not 1 <= len(key) <= LONGEST_TAG_KEY or not TAG_TEXT.fullmatch(key):
            raise ValueError(f"the tag {key!r} must have 1 to {LONGEST_TAG_KEY} letters, digits, spaces and _.:/=+-@")
        if key == "Name" or key.lower().startswith(RESERVED):
            raise ValueError(f"the tag {key!r} is taken: Name, {' and '.join(f'{word}…' for word in RESERVED)} are")
        if len(value) > LONGEST_TAG_VALUE or not TAG_TEXT.fullmatch(value):
            raise ValueError(
                f"the value of tag {key!r} must have at most {LONGEST_TAG_VALUE} letters, digits, spaces and _.:/=+-@"
            )
    return tags


class AwsSection(CloudSection):
    """Where in an AWS account the machine stands, and what it may do there."""

    vpc_id: str | None = Field(default=None, pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")
    """VPC to rent in, in a subnet of a zone that offers the machine; ``null`` takes that of ``subnet_id``, else the
    region's default VPC. Needs one region in ``compute.regions``."""
    subnet_id: str | None = Field(default=None, pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$")
    """Subnet to rent in; ``null`` leaves it to AWS. In one that gives no public addresses, the machine is reached by
    its private one. Needs one region in ``compute.regions``."""
    instance_profile: str | None = Field(default=None, pattern=r"^[\w+=,.@-]{1,128}$")
    """Name (not ARN) of the instance profile that the machine gets; ``null`` gives it no rights in your account. Where
    ``store.url`` is on Amazon's S3, the machine opens the store by it when nobody renews its keys. ``infra/store`` can
    make such a profile."""
    ami_id: str | None = Field(default=None, pattern=r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$")
    """Machine image, in place of the newest one that ``compute.image`` leads to: Linux for x86_64 with apt, cloud-init
    and the user ``ubuntu``. Needs one region in ``compute.regions``."""
    schedule_role_arn: str | None = Field(default=None, pattern=r"^arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+$")
    """Role by which EventBridge Scheduler terminates the machine if nothing else does (``infra/safety`` makes it): at
    the hard end, or, once the lease is moved, a quarter of an hour after its end. ``null`` makes no schedule."""
    tags: Annotated[dict[str, str], AfterValidator(_check_tags)] = Field(default={})
    """Tags of your own for everything that is created, at most 40, like ``{team: red}``."""

    @property
    def own_rights(self) -> str | None:
        """The instance profile."""
        return None if self.instance_profile is None else f"instance profile {self.instance_profile}"

    def check_beside(self, compute: ComputeSection) -> None:
        """Refuse two images, and what exists in one region only where several are tried."""
        if self.ami_id is not None and compute.image is not None:
            raise ValueError(f"compute.aws.ami_id is {self.ami_id}, and compute.image is {compute.image}: keep one")
        placed = {"vpc_id": self.vpc_id, "subnet_id": self.subnet_id, "ami_id": self.ami_id}
        first = next((name for name, value in placed.items() if value is not None), None)
        if first is not None and compute.env == "aws" and len(compute.regions) != 1:
            found = ", ".join(compute.regions) or "any"
            raise ValueError(
                f"compute.aws.{first} is {placed[first]}, which one region has, and compute.regions is {found}: "
                "set it to that region"
            )
