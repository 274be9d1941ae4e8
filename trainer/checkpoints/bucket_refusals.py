"""What a bucket refuses, and what boto3 raises, in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trainer.checkpoints.turns import waiting
from trainer.errors import StoreError

MISSING = {"404", "NoSuchKey", "NotFound"}
OTHERWISE = (
    "fix the cause that the details quote (store.url, store.endpoint_url, credentials), then run `make sync` again"
)
RIGHTS = "give these credentials the right to list, read and write under this address"
RENEW = "renew the credentials, then run `make sync` again: what is there already is not moved twice"
VALID_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to valid credentials"
LATER = "wait some minutes, then run `make sync` again: what is there already is not moved twice"
HINTS = {
    "NoSuchBucket": "create the bucket first (infra/store), or correct store.url",
    "AccessDenied": RIGHTS,
    "403": RIGHTS,
    "ExpiredToken": RENEW,
    "RequestExpired": RENEW,
    "InvalidAccessKeyId": VALID_KEYS,
    "SignatureDoesNotMatch": VALID_KEYS,
    "SlowDown": LATER,
    "ServiceUnavailable": LATER,
    "503": LATER,
}


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what boto3 raises into our own errors, once; while it works other threads may go on (``turns``).

    Args:
        url: The address that is spoken to, for the messages.

    Raises:
        FileNotFoundError: If there is no such object.
        StoreError: If the store cannot be reached or refuses.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, SSLError

    try:
        with waiting():
            yield
    except ClientError as err:
        if _code(err) in MISSING:
            raise FileNotFoundError(str(err)) from err
        raise _refused(url, _code(err), err) from err
    except Boto3Error as err:
        cause = err.__context__
        raise _refused(url, _code(cause) if isinstance(cause, ClientError) else "", err) from err
    except SSLError as err:
        raise StoreError(
            f"sync: {url} has a certificate that is not trusted",
            details=str(err),
            resolution="set store.ca_file to the certificate of the authority that signed it, or correct "
            "store.endpoint_url",
        ) from err
    except BotoCoreError as err:
        raise StoreError(
            f"sync: cannot reach {url}: {type(err).__name__}",
            details=str(err),
            resolution="check the network, the endpoint and the credentials; what is there is not moved twice",
        ) from err


def _refused(url: str, code: str, err: Exception) -> StoreError:
    return StoreError(
        f"sync: {url} refuses: {code or type(err).__name__}",
        details=str(err),
        resolution=HINTS.get(code, OTHERWISE),
    )


def _code(err: Any) -> str:
    return str(err.response.get("Error", {}).get("Code", ""))
