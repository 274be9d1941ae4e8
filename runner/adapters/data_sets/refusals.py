"""What keeps a data set of the Hub from being had, in words about the data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainer.base_model.hub_files import NEW_TOKEN, words_of
from trainer.errors import DataError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

OTHERWISE = "or download the files and name them"


class UnreachableError(DataError):
    """The Hub gives no answer, which says nothing about the data set.

    Attributes:
        trouble: Why.
    """

    def __init__(self, name: str, trouble: str, resolution: str) -> None:
        """Say that the files are not on this machine either."""
        super().__init__(f"data: {name} is not in the cache, and {trouble}", resolution=f"{resolution}, {OTHERWISE}")
        self.trouble = trouble


@contextmanager
def converted(name: str, revision: str | None, key: str) -> Iterator[None]:
    """Turn what the Hub's library raises into errors about a data set.

    Args:
        name: The data set, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
        key: Recipe key that names it, for the hints.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError, OSError) as err:
        cause = err.__cause__ if isinstance(err, LocalEntryNotFoundError) and err.__cause__ is not None else err
        if isinstance(cause, HfHubHTTPError):
            raise _refusal(cause, name, revision, key) from err
        if isinstance(cause, HFValidationError):
            raise DataError(f"data: {name} is no name of a data set", resolution=f"set {key} to `org/name`") from err
        if isinstance(cause, OfflineModeIsEnabled):
            raise UnreachableError(name, "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE") from err
        trouble = f"the Hub cannot be reached ({_words(cause)})"
        raise UnreachableError(name, trouble, "check the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT") from err


def _refusal(err: HfHubHTTPError, name: str, revision: str | None, key: str) -> DataError:
    """Return the meaning of the Hub's status."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status, has_token = err.response.status_code, get_token() is not None
    if status == 429:
        more = "" if has_token else "; with a token (HF_TOKEN) the Hub answers more often"
        return UnreachableError(name, "the Hub refuses too many requests (429)", f"repeat the command later{more}")
    if status >= 500:
        return UnreachableError(name, f"the Hub is in trouble (it answers {status})", "repeat the command later")
    if isinstance(err, GatedRepoError):
        problem = "is gated, and " + ("its owner has not let you in yet" if has_token else "there is no token")
        remedy = f"accept its terms at https://huggingface.co/datasets/{name}" + ("" if has_token else f"; {NEW_TOKEN}")
    elif isinstance(err, RevisionNotFoundError):
        problem, remedy = f"has no revision {revision or 'main'}", f"correct `revision` in {key}, or leave it out"
    elif isinstance(err, DisabledRepoError):
        problem, remedy = "is disabled on the Hub", "take another data set"
    elif isinstance(err, RepositoryNotFoundError) or status == 404:
        secret = "your token may not read it" if has_token else "is private"
        problem = f"is neither a file here nor a data set on the Hub, or {secret}"
        remedy = f"correct {key}, or log in as a user who may read it: {NEW_TOKEN}"
    elif status in (401, 403):
        problem, remedy = "cannot be read: the Hub does not take the token", f"{NEW_TOKEN}; a public one needs none"
    else:
        problem, remedy = "cannot be fetched", f"check HF_ENDPOINT, {OTHERWISE}"
    return DataError(f"data: {name} {problem} ({status})", resolution=remedy, details=_words(err))


def _words(err: BaseException) -> str:
    from huggingface_hub import get_token

    return words_of(err, get_token())
