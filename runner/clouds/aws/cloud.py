"""AWS, as shared code knows it."""

from __future__ import annotations

import importlib.util
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cloud_api.environment import (
    BillApi,
    BilledRun,
    BootTime,
    CloudRecord,
    Environment,
    MachineOrder,
    NotThere,
    PlaceRules,
    PriceRules,
    QuotaWords,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cloud_api.credentials import Environ
    from runner.cloud_api.models import Cloud, Offer, Placement
    from runner.cloud_api.pacing import Timer
    from runner.clouds.aws.api import AwsCloud
    from runner.clouds.aws.section import AwsSection
    from runner.errors import CloudError

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "DOUSE_AWS_REGIONS",
)
CREDENTIAL_LINE = re.compile(r"^\s*(aws_access_key_id|credential_process|role_arn|sso_\w+|login_session)\s*=", re.M)
MACHINE_VENDOR = Path("/sys/class/dmi/id/sys_vendor")
HARD_END_UNIT = "douse-hard-end"
BOOT_LEASE_UNIT = "douse-boot-lease"
END_UNIT = "douse-end"
UNITS = "/etc/systemd/system"
END_SERVICE = """[Unit]
Description=Terminate this machine: to power off is to be terminated
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl poweroff; sleep 300; systemctl --force --force poweroff'
"""
"""Without default dependencies the shutdown does not stop it: it has the last word where something hangs."""
BOOT_LEASE_TIMER = """[Unit]
Description=Terminate this machine unless it is set up

[Timer]
OnActiveSec={seconds}
OnCalendar=@DATE@
Persistent=true
Unit={END_UNIT}.service

[Install]
WantedBy=timers.target
"""
"""The seconds count in this boot; the date, which the machine's own clock sets at its first boot, outlasts a reboot."""


def open_account(environ: Environ, *, timer: Timer) -> Cloud:
    """Return the AWS account that the environment names; one that cannot be asked where boto3 is not installed.

    Raises:
        AccountError: If it names none.
        UsageError: If ``DOUSE_AWS_REGIONS`` names no region.
    """
    if not _is_named(environ):
        from runner.cloud_api.credentials import NotConfiguredError

        raise NotConfiguredError(
            "aws: there are no credentials",
            resolution="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
        )
    if importlib.util.find_spec("boto3") is None:
        from runner.cloud_api.absent import AbsentCloud

        return AbsentCloud("aws", "boto3")
    return _opened(environ, timer)


def _opened(environ: Environ, timer: Timer) -> AwsCloud:
    """Return the account, asked by boto3 or by what stands in for it in the timer's world."""
    from runner.cloud_api.library import library_of
    from runner.clouds.aws.api import BOTO3, open_aws  # boto3 takes half a second to import

    return open_aws(environ, now=timer.world.now, library=library_of(timer.world, "aws", BOTO3))


def endpoint(environ: Environ) -> str:
    """Return the address of STS, which is asked whose account it is."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return environ.get("AWS_ENDPOINT_URL") or f"https://sts.{region}.amazonaws.com"


def caller_network(environ: Environ) -> str:
    """Return this machine's public address as a network: the security group lets nobody else in."""
    from runner.cloud_api.address import public_address_cidr

    return public_address_cidr(environ)


def inputs(order: MachineOrder) -> dict[str, Any]:
    """Return the inputs that only this environment takes."""
    from runner.adapters.keys import public_key

    own: dict[str, Any] = {
        "aws_host_key": public_key(order.host_key),
        "aws_user_data": user_data(order),
        "aws_price_usd_per_h": order.price_usd_per_h,
    }
    if order.image:
        own["aws_ami_parameter"] = order.image
    return own if order.own is None else own | _of_section(order.own)


def _of_section(section: AwsSection) -> dict[str, Any]:
    """Return the inputs that ``compute.aws`` sets."""
    given = {
        "aws_ami_id": section.ami_id,
        "aws_instance_profile": section.instance_profile,
        "aws_schedule_role_arn": section.schedule_role_arn,
        "aws_subnet_id": section.subnet_id,
        "aws_vpc_id": section.vpc_id,
        "labels": section.tags or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def own_section() -> type[AwsSection]:
    """Return the class of ``compute.aws``."""
    from runner.clouds.aws.section import AwsSection

    return AwsSection


def user_data(order: MachineOrder) -> str:
    """Return the cloud-config a machine boots with: its host key, and two ends that need nobody.

    The timers are set before anything of ours runs. The boot lease, which the role of the lease replaces, ends a
    machine that is never set up; the hard end stays. To power off is to be terminated there.
    """
    from runner.adapters.user_data import cloud_config

    hard_end = ["systemd-run", f"--unit={HARD_END_UNIT}", f"--on-active={order.hard_end_s}", "systemctl", "poweroff"]
    lease_s, timer = order.boot_lease_s, f"{BOOT_LEASE_UNIT}.timer"
    date = f'date -u -d "+{lease_s} seconds" "+%Y-%m-%d %H:%M:%S UTC"'
    return cloud_config(
        order.host_key,
        [
            hard_end,
            ["sh", "-c", f'sed -i "s/@DATE@/$({date})/" {UNITS}/{timer}'],
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", timer],
        ],
        {
            f"{UNITS}/{END_UNIT}.service": END_SERVICE,
            f"{UNITS}/{timer}": BOOT_LEASE_TIMER.format(seconds=lease_s, END_UNIT=END_UNIT),
        },
    )


def places(cloud: Cloud, own: AwsSection | None, offers: Sequence[Offer]) -> dict[Offer, Placement]:
    """Return whether the account has a place for each of these machines; raises as ``AwsCloud.places``."""
    from runner.clouds.aws.api import AwsCloud

    return cloud.places(offers, own) if isinstance(cloud, AwsCloud) else {}


def terraform_error(words: str) -> CloudError | None:
    """Return the error that AWS gave, from Terraform's text."""
    from runner.clouds.aws.refusals import error_from_terraform

    return error_from_terraform(words)


def read_bill(environ: Environ, billed: BilledRun, *, timer: Timer) -> float | None:
    """Return what AWS bills for all that carries a run's tag; ``None`` as long as it has none, for a day or so."""
    return _opened(environ, timer).bill(billed)


def _is_named(environ: Environ) -> bool:
    """Return whether there is a source of AWS credentials, without asking anybody."""
    from runner.cloud_api.credentials import in_home, text

    if any(environ.get(name, "").strip() for name in VARIABLES):
        return True
    credentials = in_home(environ, environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = in_home(environ, environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    return (
        CREDENTIAL_LINE.search(text(credentials) + "\n" + text(config)) is not None
        or text(MACHINE_VENDOR).strip() == "Amazon EC2"  # a machine there may have a role of its own
    )


RECORD = CloudRecord(
    environment=Environment(
        "aws",
        module="aws",
        bills=True,
        waits_for_sshd=False,
        tries_candidates=False,
        lease="shutdown",
        driver="install",
        metadata_url="http://169.254.169.254",
    ),
    title="AWS",
    package=__name__.rpartition(".")[0],
    account_words="credentials of AWS",
    real_variables=("AWS_", "DOUSE_AWS"),
    open=open_account,
    endpoint=endpoint,
    boot=BootTime(
        25.8,
        300.0,
        source="25.8 s for a small machine (github.com/brevdev/ec2-coldboot-research), about 5 minutes as often "
        "reported (news.ycombinator.com/item?id=44053826)",
        as_of=date(2026, 11, 21),
    ),
    boot_many_gpus=NotThere("no source distinguishes them"),
    prices=PriceRules(on_demand_from_list=True, gpuhunt_name="aws"),
    published=NotThere("boto3 brings AWS's description of its API, and is renewed with it"),
    quota=QuotaWords(
        raise_it="ask for more in the console (Service Quotas, EC2)",
        allow_reading="allow servicequotas:GetServiceQuota in IAM",
    ),
    places=PlaceRules(
        ask=places,
        give_one="set compute.regions, compute.aws.vpc_id or compute.aws.subnet_id to what there is, or make a default "
        "VPC: `aws ec2 create-default-vpc --region REGION`",
        reach_it="run Douse where private addresses of that network can be reached, or name a public subnet in "
        "compute.aws.subnet_id",
        allow_reading="allow ec2:DescribeVpcs, ec2:DescribeSubnets and ec2:DescribeInstanceTypeOfferings in IAM",
    ),
    caller_network=caller_network,
    default_image=NotThere("the newest Ubuntu, by the SSM parameter that the root module names"),
    hard_end="a timer of the machine's own, set by its first boot: to power off is to be terminated",
    hard_end_from_boot=True,
    hard_end_goes=NotThere("AWS has announced no end of it"),
    lease_at_cloud="the schedule of a machine, where compute.aws.schedule_role_arn has one made",
    boot_lease=lambda _image: None,
    inputs=inputs,
    secret_inputs=NotThere("aws_instance writes its user data into the state in any case"),
    terraform_error=terraform_error,
    provider=NotThere("hashicorp/aws, its vendor's own, rents the machine"),
    bill=BillApi(read_bill, late_h=48.0, price_usd=0.01),
    own_section=own_section,
    open_inputs=("aws_max_retries",),
    run_file_words={
        "compute.image": "name of the public SSM parameter that holds the machine image",
        "compute.ssh_ingress_cidrs": "its security group",
    },
    extra="aws",
)
