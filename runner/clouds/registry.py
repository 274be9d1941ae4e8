"""The clouds that Douse rents from, and which of them this environment has accounts for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.cloud_api.models import Cloud
from runner.cloud_api.pacing import Timer
from runner.clouds.lambda_cloud.api import ENDPOINT as LAMBDA_ENDPOINT
from runner.clouds.lambda_cloud.api import PACE_S, LambdaCloud
from runner.clouds.runpod.api import ENDPOINT as RUNPOD_ENDPOINT
from runner.clouds.runpod.api import RunPodCloud
from runner.clouds.runpod.graphql import ENDPOINT as RUNPOD_GRAPHQL_ENDPOINT
from runner.errors import AccountError, UsageError

Environ = Mapping[str, str]

AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "DOUSE_AWS_REGIONS",
)
AWS_CREDENTIAL_LINE = re.compile(r"^\s*(aws_access_key_id|credential_process|role_arn|sso_\w+|login_session)\s*=", re.M)
MACHINE_VENDOR = Path("/sys/class/dmi/id/sys_vendor")


class NotConfiguredError(AccountError):
    """Nothing in the environment names an account on this cloud."""


def endpoint_of(name: str, environ: Environ) -> str:
    """Return the address that an account on a cloud is first asked at."""
    if name == "aws":
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return environ.get("AWS_ENDPOINT_URL") or f"https://sts.{region}.amazonaws.com"
    if name == "runpod":
        return environ.get("DOUSE_RUNPOD_ENDPOINT") or RUNPOD_ENDPOINT
    return environ.get("DOUSE_LAMBDA_ENDPOINT") or LAMBDA_ENDPOINT


def open_lambda(environ: Environ, *, timer: Timer | None = None) -> LambdaCloud:
    """Return the account on Lambda Cloud that the environment names.

    Raises:
        AccountError: If it names none, or its key cannot be read.
    """
    return LambdaCloud(
        _secret(environ, "LAMBDA_API_KEY", "lambda"),
        endpoint=endpoint_of("lambda", environ),
        pace_s=_seconds(environ, "DOUSE_LAMBDA_PACE_S", PACE_S),
        timer=timer,
    )


def open_runpod(environ: Environ, *, timer: Timer | None = None) -> RunPodCloud:
    """Return the account on RunPod that the environment names.

    Raises:
        AccountError: If it names none, or its key cannot be read.
    """
    return RunPodCloud(
        _secret(environ, "RUNPOD_API_KEY", "runpod"),
        endpoint=endpoint_of("runpod", environ),
        graphql_endpoint=environ.get("DOUSE_RUNPOD_GRAPHQL_ENDPOINT") or RUNPOD_GRAPHQL_ENDPOINT,
        timer=timer,
    )


def _open_aws(environ: Environ) -> Cloud:
    if not _names_aws(environ):
        raise NotConfiguredError(
            "aws: there are no credentials",
            resolution="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
        )
    from runner.clouds.aws.api import open_aws  # boto3 takes half a second to import

    return open_aws(environ)


CLOUDS: Mapping[str, Callable[[Environ], Cloud]] = {
    "lambda": open_lambda,
    "runpod": open_runpod,
    "aws": _open_aws,
}
"""How to open an account, by the name of the cloud and environment."""


def open_cloud(name: str, environ: Environ) -> Cloud:
    """Return the account that the environment names on a cloud.

    Raises:
        UsageError: If there is no such cloud.
        AccountError: If the environment names no account; the resolution says what to set.
    """
    if name not in CLOUDS:
        raise UsageError(f"there is no cloud {name}", resolution=f"choose one of {', '.join(CLOUDS)}")
    return CLOUDS[name](environ)


def configured(environ: Environ) -> list[Cloud]:
    """Return the accounts that the environment names, on all clouds.

    Raises:
        AccountError: If an account is named, but its key cannot be read: that is never the same as no account.
    """
    found = []
    for open_account in CLOUDS.values():
        try:
            found.append(open_account(environ))
        except NotConfiguredError:
            continue
    return found


def _names_aws(environ: Environ) -> bool:
    """Tell whether there is a source of AWS credentials, without asking anybody."""
    if any(environ.get(name, "").strip() for name in AWS_VARIABLES):
        return True
    folder = Path(environ.get("HOME") or "~").expanduser() / ".aws"
    credentials = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials").expanduser()
    config = Path(environ.get("AWS_CONFIG_FILE") or folder / "config").expanduser()
    return (
        AWS_CREDENTIAL_LINE.search(_text(credentials) + "\n" + _text(config)) is not None
        or _text(MACHINE_VENDOR).strip() == "Amazon EC2"  # a machine there may have a role of its own
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _secret(environ: Environ, name: str, cloud: str) -> str:
    """Return a key from a variable, or from the file that ``<name>_FILE`` names."""
    if environ.get(name, "").strip():
        return environ[name].strip()
    path = environ.get(f"{name}_FILE", "").strip()
    if not path:
        raise NotConfiguredError(
            f"{cloud}: there is no API key", resolution=f"set {name}, or {name}_FILE to a file that holds the key"
        )
    try:
        key = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise AccountError(
            f"{cloud}: cannot read the API key from {path}", details=str(err), resolution=f"check {name}_FILE"
        ) from err
    if not key:
        raise AccountError(f"{cloud}: {path} is empty", resolution=f"put the API key into it, or set {name}")
    return key


def _seconds(environ: Environ, name: str, default: float) -> float:
    value = environ.get(name, "").strip()
    try:
        seconds = float(value) if value else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise UsageError(f"{name} is {value}, not between 0 and 60 seconds", resolution=f"set {name}, or leave it out")
    return seconds
