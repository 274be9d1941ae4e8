"""How many vCPUs of a family of GPU machines an AWS account may have at a time in one region: its Service Quotas."""

from __future__ import annotations

import re
from typing import Any

from runner.cloud_api.models import Quota
from runner.clouds.aws.listing import required
from runner.clouds.aws.refusals import aws_errors
from runner.errors import NotFoundError

QUOTA_CODES = {
    (r"(g|gr|vt)\d", False): "L-DB2E81BA",
    (r"(g|gr|vt)\d", True): "L-3819A6DF",
    (r"p\d", False): "L-417A185B",
    (r"p[2-4]", True): "L-7212CCBC",
}
"""EC2's codes by the names' beginnings, on demand and spot: *Running On-Demand G and VT instances*, *All G and VT Spot
Instance Requests*, *Running On-Demand P instances*, *All P4, P3 and P2 Spot Instance Requests*. Spot P5 and later have
had another code, and no source says which holds today: they are left out.

Sources, read 2026-11-21: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html (the names of those
for spot), and the codes as public programs ask for them.
"""


def quota_code(instance_type: str, *, spot: bool) -> str | None:
    """Return the code of the quota that a kind of machine counts against, or ``None`` where it is not known."""
    codes = ((start, code) for (start, of_spot), code in QUOTA_CODES.items() if of_spot is spot)
    return next((code for start, code in codes if re.match(start, instance_type)), None)


def quota_in(client: Any, region: str, code: str) -> Quota | None:
    """Return a quota of the account in one region, or ``None`` where AWS knows of none.

    Args:
        client: boto3's client of Service Quotas for the region.
        region: The region.
        code: AWS's code of the quota.

    Raises:
        CloudError: If AWS refuses, or its answer cannot be read.
    """
    doing = f"read quota {code} in {region}"
    try:
        with aws_errors(doing):
            answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    except NotFoundError:
        return None
    found = required(answer, "Quota", doing)
    return Quota(str(found.get("QuotaName") or code), region, float(required(found, "Value", doing)))
