"""AWS by boto3: GPU machines, what is ours in every region, how to end it, and keys that open one folder only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from runner.cloud_api.absent import not_installed
from runner.cloud_api.environment import BilledRun
from runner.cloud_api.library import Library
from runner.cloud_api.listings import gather
from runner.cloud_api.models import Account, Kind, Listing, Offer, Placement, Quota, Resource, TrustWanted
from runner.cloud_api.pacing import clock_off
from runner.clouds.aws.bill import bill_in
from runner.clouds.aws.disks import priced_listing_in
from runner.clouds.aws.listing import CLOUD, entries, required
from runner.clouds.aws.offers import offers_in
from runner.clouds.aws.places import places_in
from runner.clouds.aws.pricing import PriceBook, RegionPrices
from runner.clouds.aws.quotas import quota_code, quota_in
from runner.clouds.aws.refusals import aws_errors, error_from_terraform, refuse_misread, refuse_web_page, unreadable
from runner.clouds.aws.schedules import GROUP, move_schedule, schedule_of, schedules_in
from runner.clouds.aws.schedules import SERVICE as SCHEDULER
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    NotFoundError,
    UnreadableAnswerError,
    UsageError,
)

if TYPE_CHECKING:
    from boto3 import Session

    from runner.clouds.aws.section import AwsSection

__all__ = ["AwsCloud", "PrefixCredentials", "error_from_terraform", "open_aws"]

HOME_REGION = "us-east-1"
BILLING_REGION = "us-east-1"
"""Cost Explorer and the Price List API answer here for all regions."""
REGION = re.compile(r"^[a-z]{2,3}(-[a-z]+)+-\d$")
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 30
ATTEMPTS = 5
QUOTAS, PRICING = "service-quotas", "pricing"
BRIEF_CONNECT_S, BRIEF_READ_S, BRIEF_ATTEMPTS = 2, 5, 2
"""Quotas and prices can be done without. Whoever asks waits for them no longer: a plan, and Python for its pool at its
end; whoever terminates machines.
"""
AT_ONCE = 8
SAVING_TIME = timedelta(minutes=15)
"""How long after the end of its lease a machine may take to save its work, before its schedule terminates it."""
SHORTEST_S, LONGEST_S = 900, 43_200
PLAIN_PREFIX = re.compile(r"^[A-Za-z0-9._/=@-]+$")


@dataclass(frozen=True)
class PrefixCredentials:
    """Short-lived keys that open one folder of one bucket.

    Attributes:
        access_key_id: Access key id.
        secret_access_key: Secret; never shown.
        session_token: Secret; never shown.
        expires_at: When they end (UTC).
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


def open_aws(environ: Mapping[str, str], *, now: Callable[[], datetime], library: Library | None = None) -> AwsCloud:
    """Return the AWS account that the environment's credentials open; nothing is asked yet.

    Args:
        environ: ``AWS_*`` as boto3 understands them; ``AWS_ENDPOINT_URL`` for an emulator; ``DOUSE_AWS_REGIONS``,
            comma separated, bounds where Douse looks.
        now: The clock (UTC).
        library: What stands in for boto3; ``None`` for boto3 itself.

    Raises:
        UsageError: If ``DOUSE_AWS_REGIONS`` names no region.
        AccountError: If ``AWS_PROFILE`` names no profile.
        CloudUnavailableError: If boto3 is not installed.
    """
    named = [name.strip() for name in environ.get("DOUSE_AWS_REGIONS", "").split(",") if name.strip()]
    wrong = [name for name in named if not REGION.match(name)]
    if wrong:
        raise UsageError(
            f"aws: DOUSE_AWS_REGIONS holds {wrong[0]}, which is no region",
            resolution="write it like DOUSE_AWS_REGIONS=us-east-1,eu-west-1",
        )
    boto3 = library or BOTO3
    session = boto3.open(environ)
    with aws_errors("open the account"):
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or session.region_name
    home = region or (named[0] if named else HOME_REGION)
    endpoint = environ.get("AWS_ENDPOINT_URL") or None
    return AwsCloud(session, home=home, regions=tuple(named), endpoint=endpoint, now=now, pool=boto3.pool)


def open_session(environ: Mapping[str, str]) -> Session:
    """Return boto3's session with the environment's credentials, else with those that boto3 finds in the user's files.

    Args:
        environ: ``AWS_*`` as boto3 understands them; boto3 itself would read this process's.

    Raises:
        AccountError: If ``AWS_PROFILE`` names no profile.
        CloudUnavailableError: If boto3 is not installed.
    """
    try:
        import boto3
    except ImportError as err:
        raise not_installed(CLOUD, "boto3") from err

    given = {
        "aws_access_key_id": environ.get("AWS_ACCESS_KEY_ID") or None,
        "aws_secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY") or None,
        "aws_session_token": environ.get("AWS_SESSION_TOKEN") or None,
    }
    keys = given if given["aws_access_key_id"] and given["aws_secret_access_key"] else {}
    profile = None if keys else environ.get("AWS_PROFILE") or None
    with aws_errors("open the account"):
        return boto3.Session(profile_name=profile, **keys)


BOTO3 = Library(open_session, ThreadPoolExecutor)
"""What asks AWS, and what asks it several things at once."""


class AwsCloud:
    """One AWS account, in all of its regions."""

    def __init__(
        self,
        session: Session,
        *,
        home: str,
        regions: tuple[str, ...] = (),
        endpoint: str | None = None,
        now: Callable[[], datetime],
        pool: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        """Keep what is needed to make clients.

        Args:
            session: boto3's session.
            home: Region to ask about the account.
            regions: Where to look; empty is every region that is enabled.
            endpoint: Another endpoint than AWS's own.
            now: The clock (UTC).
            pool: Makes what does so many things at once.
        """
        self._session, self._home, self._bounds, self._endpoint, self._now = session, home, regions, endpoint, now
        self._pool = pool
        self._clients: dict[tuple[str, str], Any] = {}
        self._clock_off = timedelta()
        self._prices = PriceBook(now)

    @property
    def name(self) -> str:
        """Return the name of the cloud."""
        return CLOUD

    def account(self) -> Account:
        """Check the credentials and return whose they are.

        Raises:
            AccountError: If there are none, or they are not good.
        """
        doing = "check the credentials"
        with aws_errors(doing):
            answer = self._client("sts", self._home).get_caller_identity()
        return Account(cloud=CLOUD, label=str(required(answer, "Account", doing)))

    def fingerprint(self, salt: str) -> str:
        """Return the account's number, whatever key opens it.

        Raises:
            CloudError: If AWS does not answer.
        """
        del salt  # it is no secret
        return self.account().label

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        """Return every GPU machine that AWS sells and whose price is known, cheapest first.

        Raises:
            CloudError: If one region cannot be asked.
        """
        regions = self._bounds or self._enabled()
        each = zip(self._ec2_in(regions), regions, repeat(self._now()), map(self._prices_in, regions), strict=False)
        with self._pool(min(AT_ONCE, len(regions))) as pool:
            asked = [pool.submit(offers_in, *one) for one in each]
            found = [offer for one in asked for offer in one.result()]
        return sorted(found, key=lambda offer: (offer.price_usd_per_h, offer.instance_type, offer.region, offer.spot))

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Return the account's quota for each of these machines; each quota is asked for once.

        Raises:
            CloudError: If one cannot be asked for.
        """
        codes = {offer: quota_code(offer.instance_type, spot=offer.spot) for offer in offers}
        asked = sorted({(offer.region, code) for offer, code in codes.items() if code})
        clients = [self._client(QUOTAS, region) for region, _ in asked]
        with self._pool(AT_ONCE) as pool:
            answers = pool.map(quota_in, clients, [region for region, _ in asked], [code for _, code in asked])
            reported = dict(zip(asked, answers, strict=True))
        found = {offer: reported.get((offer.region, code)) for offer, code in codes.items() if code}
        return {offer: quota for offer, quota in found.items() if quota is not None}

    def places(self, offers: Sequence[Offer], section: AwsSection | None) -> dict[Offer, Placement]:
        """Return whether the account has a network for each of these machines.

        Args:
            offers: The machines.
            section: ``compute.aws`` of the run file, if it has one.

        Raises:
            CloudError: If one region cannot be asked.
        """
        regions = sorted({offer.region for offer in offers})
        there = [[offer for offer in offers if offer.region == region] for region in regions]
        with self._pool(AT_ONCE) as pool:
            answers = pool.map(places_in, self._ec2_in(regions), regions, there, repeat(section))
            return {offer: placement for answer in answers for offer, placement in answer.items()}

    def listing(self) -> Listing:
        """Return all Douse resources in the account: machines, their disks, keys, firewalls, addresses and schedules.

        A region that may not be looked at, or one kind in it, is unread, and the rest is there. Where the regions may
        not be listed, home is looked at.

        Raises:
            CloudError: If no region could be read.
        """
        unlisted: list[CloudError] = []
        try:
            regions = self._bounds or self._enabled()
        except (AccessDeniedError, UnreadableAnswerError) as err:
            regions, unlisted = (self._home,), [err]
        clients = self._ec2_in(regions)
        with self._pool(min(AT_ONCE, len(regions))) as pool:
            each = zip(clients, regions, map(self._prices_in, regions), strict=True)
            asked = [pool.submit(priced_listing_in, *one) for one in each]
        found = gather(one.result for one in asked)
        schedules = self._schedules(regions)
        unread = unlisted + found.unread + schedules.unread
        return Listing(found.resources + schedules.resources, unread, self._clock_off)

    def _prices_in(self, region: str) -> Callable[[], RegionPrices]:
        """Return what asks for a region's prices, with a client that is made now; without one nothing is known."""
        try:
            return partial(self._prices.of, self._client(PRICING, BILLING_REGION), region)
        except (CloudError, OSError):  # boto3's files may be gone under a guard that has its other clients
            return RegionPrices

    def _schedules(self, regions: Sequence[str]) -> Listing:
        """Return the schedules of runs, in those of the regions that boto3 knows to have EventBridge Scheduler."""
        sold = {
            region
            for partition in self._session.get_available_partitions()
            for region in self._session.get_available_regions(SCHEDULER, partition)
        }
        there = [region for region in regions if region in sold]
        clients = [self._client(SCHEDULER, region) for region in there]
        with self._pool(AT_ONCE) as pool:
            parts = list(pool.map(schedules_in, clients, there))
        return Listing(
            [one for part in parts for one in part.resources], [err for part in parts for err in part.unread]
        )

    def end(self, resource: Resource) -> None:
        """Ask AWS to end one resource; one that is gone already is fine.

        Raises:
            CloudError: If AWS refuses; what a machine still holds can only go when the machine is gone.
        """
        region = resource.region or self._home
        client = self._client(SCHEDULER if resource.kind == "schedule" else "ec2", region)
        try:
            with aws_errors(f"terminate {resource.kind.replace('_', ' ')} {resource.id} in {region}"):
                _ENDINGS[resource.kind](client, resource)
        except NotFoundError:
            return

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        """Move the machine's schedule, where it has one; else the machine alone keeps its lease.

        The schedule leaves the machine time to save its work and to power off by itself.

        Raises:
            NotFoundError: If the schedule is gone.
            CloudError: If AWS refuses, or does not answer.
        """
        region = machine.region or self._home
        doing = f"move the schedule of machine {machine.id}"
        name = schedule_of(self._client("ec2", region), machine.id, doing)
        if name is not None:
            at = max(ends_at, self._now()) + SAVING_TIME
            move_schedule(self._client(SCHEDULER, region), name, at, doing)

    def bill(self, billed: BilledRun) -> float | None:
        """Return what Cost Explorer has for all that carries a run's tag, in US dollars; ``None`` where it has nothing.

        The tag has to be activated for cost allocation, once an account, and figures are a day late. A request costs
        one cent.

        Raises:
            CloudError: If AWS refuses, or its answer cannot be read.
        """
        return bill_in(self._client("ce", BILLING_REGION), billed)

    def sts_credentials_for_prefix(
        self, bucket: str, prefix: str, role_arn: str, duration_s: int = 3600
    ) -> PrefixCredentials:
        """Return keys that read, write and list one folder of a bucket and nothing else.

        Args:
            bucket: Name of the bucket.
            prefix: Folder in it, without wildcards.
            role_arn: Role to assume; its own policy has to allow at least as much.
            duration_s: How long they last, 15 minutes to 12 hours; the role may allow less.

        Raises:
            UsageError: If the folder is empty or has a wildcard, or the duration is out of bounds.
            AccessDeniedError: If the role may not be assumed.
        """
        folder = prefix.strip("/")
        if not PLAIN_PREFIX.match(folder):
            raise UsageError(
                f"aws: the store's prefix is {prefix!r}, which cannot be fenced in",
                resolution="name a folder in store.url, of letters, digits and `._-=@/` only",
            )
        if not SHORTEST_S <= duration_s <= LONGEST_S:
            raise UsageError(
                f"aws: credentials for {duration_s} s were asked for",
                resolution=f"ask for {SHORTEST_S} to {LONGEST_S} s",
            )
        doing = f"get credentials for s3://{bucket}/{folder}"
        with aws_errors(doing):
            answer = self._client("sts", self._home).assume_role(
                RoleArn=role_arn,
                RoleSessionName=re.sub(r"[^\w=,.@-]", "-", f"douse-{folder.rsplit('/', 1)[-1]}")[:64],
                Policy=json.dumps(_policy(bucket, folder, role_arn), separators=(",", ":")),
                DurationSeconds=duration_s,
            )
        keys = required(answer, "Credentials", doing)
        return PrefixCredentials(
            access_key_id=required(keys, "AccessKeyId", doing),
            secret_access_key=required(keys, "SecretAccessKey", doing),
            session_token=required(keys, "SessionToken", doing),
            expires_at=required(keys, "Expiration", doing),
        )

    def _ec2_in(self, regions: Sequence[str]) -> list[Any]:
        """Return a client for each region; a session makes clients in one thread only."""
        return [self._client("ec2", region) for region in regions]

    def _enabled(self) -> tuple[str, ...]:
        doing = "list the enabled regions"
        found = entries(self._client("ec2", self._home), "describe_regions", "Regions", doing)
        regions = tuple(str(required(entry, "RegionName", doing)) for entry in found)
        if not regions:
            raise unreadable(doing, "no region is enabled, which cannot be")
        return regions

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        if (service, region) not in self._clients:
            is_brief = service in (QUOTAS, PRICING)
            config = Config(
                retries={"mode": "standard", "total_max_attempts": BRIEF_ATTEMPTS if is_brief else ATTEMPTS},
                connect_timeout=BRIEF_CONNECT_S if is_brief else CONNECT_TIMEOUT_S,
                read_timeout=BRIEF_READ_S if is_brief else READ_TIMEOUT_S,
                user_agent_extra="douse",
            )
            with aws_errors(f"ask {service} in {region}"):
                client = self._client_at_endpoint(service, region, config)
            client.meta.events.register("before-parse", refuse_web_page)
            client.meta.events.register("before-parse", refuse_misread)
            client.meta.events.register("before-parse", self._note_clock)
            self._clients[service, region] = client
        return self._clients[service, region]

    def _client_at_endpoint(self, service: str, region: str, config: Any) -> Any:
        try:
            return self._session.client(service, region_name=region, endpoint_url=self._endpoint, config=config)
        except ValueError as err:  # botocore's own word for an address that is none
            raise AccountError(
                f"aws: {self._endpoint} is no address", details=str(err), resolution="correct AWS_ENDPOINT_URL"
            ) from err

    def _note_clock(self, response_dict: Mapping[str, Any], **_: object) -> None:
        """Keep how far AWS's clock is ahead of this computer's; botocore calls it with each answer."""
        headers = {name.lower(): str(value) for name, value in response_dict["headers"].items()}
        off = clock_off(headers, self._now())
        self._clock_off = self._clock_off if off is None else off


_ENDINGS: Mapping[Kind, Callable[[Any, Resource], Any]] = {
    "instance": lambda client, found: client.terminate_instances(InstanceIds=[found.id]),
    "volume": lambda client, found: client.delete_volume(VolumeId=found.id),
    "key": lambda client, found: client.delete_key_pair(KeyName=found.name),  # emulators do not know it by its id
    "address": lambda client, found: client.release_address(AllocationId=found.id),
    "security_group": lambda client, found: client.delete_security_group(GroupId=found.id),
    "schedule": lambda client, found: client.delete_schedule(GroupName=GROUP, Name=found.name),
    "spot_request": lambda client, found: client.cancel_spot_instance_requests(SpotInstanceRequestIds=[found.id]),
}


def _policy(bucket: str, folder: str, role_arn: str) -> dict[str, Any]:
    """Return the session policy: what it does not name is refused, whatever the role may do."""
    parts = role_arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or parts[2] != "iam":
        raise BadRequestError(
            f"aws: {role_arn} is no role's ARN", resolution="write it like arn:aws:iam::123456789012:role/douse-store"
        )
    arn = f"arn:{parts[1]}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": f"{arn}/{folder}/*",
            },
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": arn,
                "Condition": {"StringLike": {"s3:prefix": f"{folder}/*"}},
            },
        ],
    }
