"""What the emulated AWS refuses, by its faults: status, code and words, whoever writes them down as an answer."""

from __future__ import annotations

from runner.clouds.aws.emulator.seed import price_usd_per_h
from runner.emulation.cloud_state import CloudState

EMPTY_PAGE = "douse-partial-page"
"""The token of a first page on which there is nothing."""
Refusal = tuple[int, str, str]
INTERNAL: Refusal = (500, "InternalError", "An internal error has occurred")
LIMITED: Refusal = (503, "RequestLimitExceeded", "Request limit exceeded.")
BAD_KEY = "AWS was not able to validate the provided access credentials"
UNKNOWN_KEY: Refusal = (401, "AuthFailure", BAD_KEY)
NO_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's own words
DOWN: Refusal = (503, "ServiceUnavailable", "The service is unavailable.")


def launch_refusal(
    state: CloudState, instance_type: str, region: str, *, spot: bool, bid: str | None
) -> Refusal | None:
    """Return why no machine is launched now, or ``None`` where one is.

    Args:
        state: What exists, and the faults.
        instance_type: The machine that is asked for.
        region: Where.
        spot: Whether it may be reclaimed.
        bid: What is bid for one that may be, in US dollars an hour.
    """
    on = f"{instance_type} in {region}"
    if state.fault("launch_rate_limited", "aws", on) is not None:
        return LIMITED
    if state.fault("key_invalid", "aws", on) is not None:
        return UNKNOWN_KEY
    if state.fault("key_forbidden", "aws", on) is not None:
        return 403, "UnauthorizedOperation", "You are not authorized to perform this operation."
    if state.fault("quota_exceeded", "aws", on) is not None:
        if spot:
            return 400, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"
        return (
            400,
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows",
        )
    if state.refuses(f"{on} ({'spot' if spot else 'on demand'})", "aws"):
        words = f"We currently do not have sufficient {instance_type} capacity"
        return 500, "InsufficientInstanceCapacity", f"{words} in the Availability Zone you requested."
    if spot and bid and float(bid) < price_usd_per_h(instance_type, spot=True):
        return 400, "SpotMaxPriceTooLow", f"Your Spot request price of {bid} is lower than the minimum."
    return None


def unknown_key(service: str) -> Refusal:
    """Return how a service refuses a key that it does not know."""
    if service == "ec2":
        return UNKNOWN_KEY
    code = "UnrecognizedClientException" if service in ("ssm", "ce", "pricing") else "InvalidClientTokenId"
    return 403, code, NO_TOKEN
