"""AWS's words for what went wrong, as the runner's errors: from boto3, and as they stand in Terraform's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runner.cloud_api.answers import Answer
from runner.cloud_api.network import SET_CLOCK, UNVERIFIED, WRONG_DATE
from runner.cloud_api.refusals import is_web_page, web_page
from runner.errors import (
    AccessDeniedError,
    AccountError,
    AlreadyThereError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NoPlaceError,
    NotFoundError,
    RateLimitedError,
    ReclaimedError,
    UnreadableAnswerError,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

NO_CAPACITY = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientCapacityOnHost",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientFreeAddressesInSubnet",
        "SpotMaxPriceTooLow",
        "VolumeTypeNotAvailableInZone",
        "Unsupported",  # this kind of machine is not sold in this zone
    }
)
QUOTA = frozenset(
    {
        "AddressLimitExceeded",
        "InstanceLimitExceeded",
        "KeyPairLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "SecurityGroupLimitExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
        "MaxIOPSLimitExceeded",
    }
)
CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
ACCOUNT = frozenset({"AccountDisabled", "Blocked", "OptInRequired", "PendingVerification", "SubscriptionRequired"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
TOO_MANY = frozenset(
    {
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
IN_TROUBLE = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"})
IN_USE = frozenset(
    {
        "DependencyViolation",
        "IncorrectState",
        "IncorrectInstanceState",
        "InvalidIPAddress.InUse",
        "ResourceInUse",
        "VolumeInUse",
    }
)
THERE = frozenset(
    {"InvalidGroup.Duplicate", "InvalidKeyPair.Duplicate", "InvalidPermission.Duplicate", "InvalidPermission.NotFound"}
)
"""What was asked for is done already: a name is taken, a rule is there, or the first rule of all is gone.

None of these calls has a token by which AWS would know a repeated request, as a launch has: Terraform sends one again
whose answer was lost.
"""
GONE = frozenset(
    {
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchKey",
        "NoSuchResourceException",
        "ParameterNotFound",
        "ResourceNotFoundException",
    }
)
MORE_QUOTA = "request a higher quota in the AWS console (Service Quotas, EC2), or terminate what you can (`make sweep`)"
LATER = "wait a minute, then repeat the command"
OTHER_NAME = "check the name, the region and the account"
LOOK = "repeat the command; `make sweep` shows what exists"
KINDS: tuple[tuple[frozenset[str], type[CloudError], str], ...] = (
    (NO_CAPACITY, NoCapacityError, "name more instance types or regions in the run file, or try later"),
    (QUOTA, AccountError, MORE_QUOTA),
    (CREDENTIALS, AccountError, "renew the AWS credentials and check them with `aws sts get-caller-identity`"),
    (ACCOUNT, AccountError, "sign in to the AWS console and finish what the account asks for"),
    (DENIED, AccessDeniedError, "allow in IAM what the details name, or leave the region out by DOUSE_AWS_REGIONS"),
    (TOO_MANY, RateLimitedError, LATER),
    (IN_USE, CloudUnavailableError, "wait until the machine is gone, then run `make sweep APPLY=1`"),
    (THERE, AlreadyThereError, "run `make sweep APPLY=1`, then repeat the command"),
    (GONE, NotFoundError, OTHER_NAME),
    (IN_TROUBLE, CloudUnavailableError, LOOK),
)
"""AWS's codes, the error that each is, and what to do about it."""
NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "SSOError",
)
BAD_CALL = ("ParamValidationError", "ValidationError", "InvalidRegionError", "UnknownServiceError")
"""botocore's exceptions by their names: it is heavy, and not installed where nobody uses AWS."""

API_ERROR = re.compile(
    r"(?:StatusCode: (?P<status>\d{3}).*?)?api error (?P<code>[A-Za-z][\w.]*): *(?P<words>[^\n]*)", re.S
)
SPOT_STATUS = re.compile(r"\b(capacity-not-available|capacity-oversubscribed|price-too-low)\b")
NO_PLACE = re.compile(r"(?:no matching|multiple) EC2 (VPC|Subnet)s? (?:found|matched)")
"""What hashicorp/aws says where a data source finds none, or several (its ``SingularDataSourceFindError``)."""
BORN_DEAD = re.compile(r"unexpected state '(?:shutting-down|terminated)', wanted target 'running'")
"""What it says of an instance that was handed out and never ran; EC2's reason follows, or none."""
NO_SCHEDULE = re.compile(r"operation error Scheduler: (?P<operation>\w+)")
CREDENTIAL_WORDS = re.compile(
    r"No valid credential sources found|failed to refresh cached credentials|no EC2 IMDS role found"
    r"|failed to retrieve credentials|The security token included in the request is (?:invalid|expired)",
    re.IGNORECASE,
)
CLOCK_WORDS = re.compile(
    r"Signature (?:expired|not yet current)|Request has expired|request time and the current time", re.IGNORECASE
)
SET_CLOCK_FOR_AWS = f"{SET_CLOCK}: AWS allows 5 minutes"
NETWORK_WORDS = re.compile(
    r"request send failed|dial tcp|connection refused|no such host|exceeded maximum number of attempts"
)
LONGEST_WORDS = 500
MISREAD = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What botocore's parsers raise where an answer holds a text for a number, a list for an object, or no UTF-8."""


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn whatever boto3 raises into the runner's error of its cause.

    Args:
        doing: What was tried, for the message, like ``list instances in eu-west-1``.

    Raises:
        CloudError: One of its subclasses.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # heavy, and loaded with boto3 by now
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as err:
        answer = err.response.get("Error", {})
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        raise error_from_code(str(answer.get("Code", "")), str(answer.get("Message", "")), doing, status) from err
    except ResponseParserError as err:
        raise unreadable(doing, str(err)) from err
    except BotoCoreError as err:
        raise _error_from_boto(err, doing) from err


def refuse_web_page(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse a page for people before boto3 takes it for an answer, as its handler of the event ``before-parse``.

    A page with a status of 500 or more is left to boto3, which tries again.

    Raises:
        CloudUnavailableError: If it is such a page.
    """
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    answer = Answer(response_dict["status_code"], headers, bytes(response_dict["body"] or b""))
    if answer.status < 500 and is_web_page(answer):
        raise web_page("aws", answer, f"carry out {operation_model.name}")


def refuse_misread(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse an answer that boto3's parser stumbles over, as another handler of the event ``before-parse``.

    Raises:
        ResponseParserError: If it does; what it would have raised itself could be a mistake of ours as well.
    """
    from botocore.parsers import ResponseParserError, create_parser

    parser = create_parser(operation_model.service_model.resolved_protocol)
    try:
        parser.parse(response_dict, operation_model.output_shape)
    except MISREAD as err:
        raise ResponseParserError(f"{type(err).__name__}: {err}") from err


def error_from_code(code: str, words: str, doing: str, status: int | None = None) -> CloudError:
    """Return the error for one of AWS's codes.

    Args:
        code: AWS's code, like ``InsufficientInstanceCapacity``.
        words: AWS's message.
        doing: What was tried.
        status: HTTP status of the answer, if there was one.
    """
    plain = code.removeprefix("Server.").removeprefix("Client.")
    if CLOCK_WORDS.search(words):
        return AccountError(
            f"aws: cannot {doing}: this computer's clock is wrong ({code})",
            resolution=SET_CLOCK_FOR_AWS,
            details=_shortened(words),
            code=code or None,
            status=status,
        )
    kind, resolution = _kind(plain, status)
    return kind(
        f"aws: cannot {doing}: {code or f'HTTP {status}'}",
        resolution=resolution,
        details=_shortened(words),
        code=code or None,
        status=status,
    )


def error_from_terraform(words: str) -> CloudError | None:
    """Return the error AWS gave, from Terraform's text, or ``None`` where the text holds none of AWS's codes."""
    if NO_SCHEDULE.search(words):
        return _no_schedule(words)
    found = API_ERROR.search(words)
    if found:
        status = int(found["status"]) if found["status"] else None
        return error_from_code(found["code"], found["words"], "make what Terraform asked for", status)
    doing = "make what Terraform asked for"
    for code in sorted(NO_CAPACITY - {"Unsupported"} | QUOTA | CREDENTIALS | ACCOUNT | DENIED | TOO_MANY):
        if re.search(rf"\b(?:Server\.|Client\.)?{code}\b", words):
            return error_from_code(code, _line_with(code, words), doing)
    missing = NO_PLACE.search(words)
    if missing:
        return _no_place(missing[1], words)
    if BORN_DEAD.search(words):
        return _born_dead(words)
    spot = SPOT_STATUS.search(words)
    if spot:
        return error_from_code("InsufficientInstanceCapacity", _line_with(spot[1], words), doing)
    if CREDENTIAL_WORDS.search(words):
        return error_from_code("AuthFailure", words, doing)
    if NETWORK_WORDS.search(words):
        return _out_of_reach(doing, words)
    return None


def _no_schedule(words: str) -> CloudError:
    """Return the error for a machine's schedule that was refused: no other machine gets one, and this one is rented.

    So it is none of those that say that nothing was rented.
    """
    return CloudError(
        "aws: the schedule that would terminate the machine was refused",
        resolution="check compute.aws.schedule_role_arn and the rights in docs/clouds/aws.md, or leave the key out",
        details=_shortened(_line_with("operation error Scheduler", words)),
    )


def _no_place(kind: str, words: str) -> NoPlaceError:
    """Return the error for a network that is not there, or not the only one that matches."""
    return NoPlaceError(
        f"aws: the account has no {kind} to rent in there" if "no matching" in words else f"aws: several {kind}s match",
        resolution="set compute.aws.vpc_id or compute.aws.subnet_id, or make a default VPC with "
        "`aws ec2 create-default-vpc`",
        details=_shortened(_line_with(kind, words)),
    )


def _born_dead(words: str) -> ReclaimedError:
    """Return the error for a machine that was handed out and shut down before it ran."""
    return ReclaimedError(
        "aws: the machine was shut down while it booted",
        resolution="name more instance types or regions, set compute.spot_enabled to false, or try later",
        details=_shortened(_line_with("unexpected state", words)),
    )


def unreadable(doing: str, words: str) -> UnreadableAnswerError:
    """Return the error for an answer that is not what AWS's description of its API says."""
    return UnreadableAnswerError(
        f"aws: cannot {doing}: the answer cannot be read, so what exists is unknown",
        resolution="repeat the command; if it stays, look with `aws ec2 describe-instances` and update boto3",
        details=_shortened(words),
    )


def _kind(code: str, status: int | None) -> tuple[type[CloudError], str]:
    """Return the error's class and what to do about it; the code goes before the status, which is 500 for capacity."""
    for codes, kind, resolution in KINDS:
        if code in codes:
            return kind, resolution
    if code.endswith("LimitExceeded"):
        return AccountError, MORE_QUOTA
    if status == 429:
        return RateLimitedError, LATER
    if ".NotFound" in code:
        return NotFoundError, OTHER_NAME
    if (status or 0) >= 500:
        return CloudUnavailableError, LOOK
    return BadRequestError, "correct what the details name"


def _error_from_boto(err: BotoCoreError, doing: str) -> CloudError:
    """Return the error for what failed on this side of the wire."""
    from botocore import exceptions

    words = str(err)
    if isinstance(err, tuple(getattr(exceptions, name) for name in NO_CREDENTIALS)):
        return AccountError(
            f"aws: cannot {doing}: no usable credentials",
            resolution="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
            details=words,
        )
    if isinstance(err, tuple(getattr(exceptions, name) for name in BAD_CALL)):
        return BadRequestError(
            f"aws: cannot {doing}: the request is not valid", resolution="correct what the details name", details=words
        )
    if isinstance(err, exceptions.PaginationError):
        return unreadable(doing, words)
    if isinstance(err, exceptions.ProxyConnectionError):
        return CloudUnavailableError(
            f"aws: cannot {doing}: the proxy that HTTPS_PROXY names cannot be used",
            resolution="correct or unset HTTPS_PROXY: boto3 takes an HTTP proxy alone, and no SOCKS proxy",
            details=words,
        )
    if isinstance(err, exceptions.SSLError):
        return _untrusted(doing, words)
    return _out_of_reach(doing, words)


def _untrusted(doing: str, words: str) -> CloudUnavailableError:
    """Return the error for certificates: AWS's, which those of this computer do not vouch for, or these themselves."""
    if WRONG_DATE.search(words):
        return CloudUnavailableError(
            f"aws: cannot {doing}: by this computer's clock AWS's certificate is not valid",
            resolution=SET_CLOCK_FOR_AWS,
            details=words,
        )
    if UNVERIFIED in words:
        return CloudUnavailableError(
            f"aws: cannot {doing}: the certificate that is shown for AWS is not trusted here",
            resolution="where a proxy opens TLS connections, name a file of its certificates with AWS_CA_BUNDLE",
            details=words,
        )
    return CloudUnavailableError(
        f"aws: cannot {doing}: no TLS connection with the certificates that AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE names",
        resolution="correct or unset AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE and `ca_bundle` in ~/.aws/config",
        details=words,
    )


def _out_of_reach(doing: str, words: str) -> CloudUnavailableError:
    return CloudUnavailableError(
        f"aws: cannot {doing}: AWS cannot be reached",
        resolution="check the network and AWS_ENDPOINT_URL, then run `make sweep` to see what exists",
        details=_shortened(words),
    )


def _shortened(words: str) -> str | None:
    """Return AWS's words without what helps nobody or is nobody's business: signed headers, encoded policies."""
    first = re.split(r"Encoded authorization failure message|The Canonical String|\n\n", words, maxsplit=1)[0].strip()
    return first[:LONGEST_WORDS] or None


def _line_with(code: str, words: str) -> str:
    return next((line.strip() for line in words.splitlines() if code in line), words)
