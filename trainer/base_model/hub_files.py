"""Fetch the small files of a base model from the Hugging Face Hub: tokenizer, template, configuration."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainer.errors import BaseModelError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
ASK_S = 4.0
"""How long the Hub may take to answer; the library's client asks twice."""
WAITS_S = (1.0, 2.0, 4.0, 8.0, 8.0)
"""Between tries of a machine that has nothing else to do; the library waits as long between its own."""
LED_TO = re.compile(r"^https?://[^/]+/(?:api/resolve-cache/models/)?([^/]+/[^/]+)/")
"""Where the Hub leads for a file of a model: the name in it is the model's own, also where an old one was asked for."""
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
NEW_TOKEN = f"make a token at {TOKENS_PAGE}, then set HF_TOKEN or run `hf auth login`"
OTHERWISE = "or set model.base_model to a local folder or .gguf file"


class HubUnreachableError(BaseModelError):
    """The Hub gives no answer, which says nothing about the base model.

    Attributes:
        trouble: Why, in words that go on after the model's name.
        retry_after_s: Seconds after which the Hub wants to be asked again, where it says so.
    """

    def __init__(
        self, repo_id: str, trouble: str, resolution: str, details: str | None = None, *, retry_after_s: float = 0.0
    ) -> None:
        """Say that there is nothing of the model on this machine either."""
        super().__init__(
            f"base model: {repo_id} is not in the cache, and {trouble}", resolution=resolution, details=details
        )
        self.trouble, self.retry_after_s = trouble, retry_after_s


class SmallFiles(NamedTuple):
    """A Hub model's small files.

    Attributes:
        files: The files by name.
        trouble: Why the Hub was not asked, if it was not.
        true_name: What the model is called on the Hub by now, if it was asked.
    """

    files: dict[str, Path]
    trouble: str | None = None
    true_name: str | None = None


def fetch_tokenizer_files(repo_id: str, revision: str | None) -> dict[str, Path]:
    """Return the small files of a Hub model by name, from the Hub's own cache where they are there already.

    Raises:
        BaseModelError: If the model or revision does not exist or is gated, or the Hub cannot be reached.
    """
    return find_small_files(repo_id, revision, waits_s=WAITS_S).files


def find_small_files(
    repo_id: str,
    revision: str | None,
    *,
    waits_s: Sequence[float] = (),
    reach: Callable[[str], bool] = lambda _: True,
) -> SmallFiles:
    """Return the small files of a Hub model; where the Hub gives no answer, those in the cache.

    Args:
        repo_id: The model, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
        waits_s: Seconds to wait before each further try, where nothing is in the cache.
        reach: Returns whether an address can be reached.

    Raises:
        HubUnreachableError: If the Hub gives no answer and nothing is in the cache.
        BaseModelError: If the model cannot be had.
    """
    try:
        import huggingface_hub  # noqa: F401 - only to say that it is missing
    except ImportError as err:
        raise BaseModelError(
            f"base model: {repo_id} is on the Hub, and the package huggingface_hub is not installed",
            resolution=f"install huggingface_hub, {OTHERWISE}",
        ) from err
    for wait_s in (*waits_s, None):
        try:
            with converted(repo_id, revision):
                true_name = _ask(repo_id, revision, reach)
            break
        except HubUnreachableError as err:
            cached = _cached(repo_id, revision)
            if cached is not None:
                return SmallFiles(cached, err.trouble)
            if wait_s is None or is_offline():
                raise
            time.sleep(wait_s)
    # A connection lost here is reported: what is in the cache by now may be a part of the files.
    with converted(repo_id, revision):
        return SmallFiles(_fetch(repo_id, revision), true_name=true_name)


def is_public(repo_id: str, revision: str | None) -> bool | None:
    """Return whether everybody may read a Hub model, or ``None`` where the Hub does not say; asks without a token.

    Args:
        repo_id: The model, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
    """
    import httpx2
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RepositoryNotFoundError

    if is_offline():
        return None
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, REQUIRED[0], revision=revision), token=False, timeout=ASK_S)
    except RepositoryNotFoundError:  # gated and private ones are of this class as well
        return False
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError, OSError):
        return None
    return True


@contextmanager
def converted(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's library raises into errors of ours.

    It lets its client's errors through, and of a proxy that cannot be one all that the client makes of it.
    """
    import httpx2
    from huggingface_hub import constants

    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError, OSError) as err:
        raise _as_base_model_error(err, repo_id, revision, constants.ENDPOINT) from err


def _ask(repo_id: str, revision: str | None, reach: Callable[[str], bool]) -> str:
    """Ask the Hub once for a model's configuration, and return what the model is called there by now.

    The library asks for 23 seconds where nobody answers.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import FileMetadataError, OfflineModeIsEnabled, RemoteEntryNotFoundError

    if is_offline():
        raise OfflineModeIsEnabled
    if not reach(constants.ENDPOINT):
        raise ConnectionError(f"no connection to {constants.ENDPOINT}")
    try:
        reported = get_hf_file_metadata(hf_hub_url(repo_id, REQUIRED[0], revision=revision), timeout=ASK_S)
    except RemoteEntryNotFoundError:
        return repo_id  # reported for the missing file
    if reported.commit_hash is None:
        raise FileMetadataError("the answer names no commit")
    led_to = LED_TO.search(reported.location)
    return led_to[1] if led_to else repo_id


def _fetch(repo_id: str, revision: str | None) -> dict[str, Path]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    files: dict[str, Path] = {}
    for name in (*REQUIRED, *OPTIONAL):
        try:
            files[name] = Path(hf_hub_download(repo_id, name, revision=revision, etag_timeout=ASK_S))
        except RemoteEntryNotFoundError as err:
            if name in REQUIRED:
                raise BaseModelError(
                    f"base model: {repo_id} has no {name} on the Hub",
                    resolution="take a base model in transformers format, or a .gguf file of it",
                ) from err
    return files


def is_offline() -> bool:
    """Return whether the user has said that nobody is to be asked (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _cached(repo_id: str, revision: str | None) -> dict[str, Path] | None:
    """Return the small files that are on this machine already, or ``None`` if one is lacking; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    found = {name: try_to_load_from_cache(repo_id, name, revision=revision) for name in (*REQUIRED, *OPTIONAL)}
    files = {name: Path(path) for name, path in found.items() if isinstance(path, str)}
    return files if all(name in files for name in REQUIRED) else None


def cached_folder(repo_id: str, revision: str | None) -> Path | None:
    """Return the folder with the small files of a Hub model if they are on this machine already; asks nobody."""
    files = _cached(repo_id, revision)
    return None if files is None else files[REQUIRED[0]].parent


def _as_base_model_error(err: Exception, repo_id: str, revision: str | None, endpoint: str) -> BaseModelError:
    """Return the error of the library or its client as one of ours."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        FileMetadataError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(err, HFValidationError):
        problem = "is neither a Hub id (org/name) nor a local folder"
        return BaseModelError(f"base model: {repo_id} {problem}", resolution="correct model.base_model")
    cause = err.__cause__ if isinstance(err, LocalEntryNotFoundError) and err.__cause__ is not None else err
    if isinstance(cause, HfHubHTTPError):
        return _as_refusal(cause, repo_id, revision)
    details = _words(cause)
    if isinstance(cause, OfflineModeIsEnabled):
        return HubUnreachableError(repo_id, "HF_HUB_OFFLINE is set", f"unset HF_HUB_OFFLINE, {OTHERWISE}", details)
    if isinstance(cause, FileMetadataError):
        remedy = f"correct HF_ENDPOINT; log in to the network, if it asks for that; {OTHERWISE}"
        return HubUnreachableError(repo_id, f"what answers at {endpoint} is not the Hub", remedy, details)
    if isinstance(cause, (httpx2.UnsupportedProtocol, httpx2.InvalidURL, ImportError, ValueError)):
        remedy = "correct HF_ENDPOINT, or the proxy (HTTPS_PROXY, ALL_PROXY)"
        return HubUnreachableError(repo_id, f"the Hub cannot be asked: {details}", remedy, details)
    if isinstance(cause, (httpx2.HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError)):
        remedy = f"check the network and the proxy (HTTPS_PROXY), {OTHERWISE}"
        return HubUnreachableError(repo_id, f"the Hub cannot be reached ({details})", remedy, details)
    return BaseModelError(
        f"base model: {repo_id} cannot be fetched into {constants.HF_HUB_CACHE}: {details}",
        resolution="make room and write permission there or set HF_HOME; check SSL_CERT_FILE, if that is set",
    )


def _as_refusal(err: HfHubHTTPError, repo_id: str, revision: str | None) -> BaseModelError:
    """Return the meaning of the Hub's status."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RevisionNotFoundError

    status, token = err.response.status_code, _token_place()
    if status == 429:
        remedy = f"repeat the command later{'' if token else '; with a token (HF_TOKEN) the Hub answers more often'}"
        after = err.response.headers.get("Retry-After", "")
        return HubUnreachableError(
            repo_id,
            "the Hub refuses too many requests (429)",
            remedy,
            _words(err),
            retry_after_s=float(after) if after.isdecimal() else 0.0,
        )
    if status >= 500:
        remedy = f"repeat the command later, {OTHERWISE}"
        return HubUnreachableError(repo_id, f"the Hub is in trouble (it answers {status})", remedy, _words(err))
    if isinstance(err, GatedRepoError):
        problem, remedy = _gated(repo_id, status, token)
    elif isinstance(err, RevisionNotFoundError):
        problem, remedy = f"has no revision {revision or 'main'}", "correct model.revision, or leave it out"
    elif isinstance(err, DisabledRepoError):
        problem, remedy = f"is disabled on the Hub ({status})", "take another base model"
    elif _is_bad_token(err) and token is not None:
        problem = f"cannot be read: the Hub does not take the token of {token} ({status})"
        remedy = f"{NEW_TOKEN}; a public model needs none"
    elif status == 403:
        problem = f"may not be read ({status})" if token is None else f"may not be read with the token of {token} (403)"
        remedy = NEW_TOKEN if token is None else f"give it that right at {TOKENS_PAGE}"
    elif status in (401, 404):
        secret = "is private" if token is None else f"the token of {token} may not read it"
        problem = f"is not on the Hub, or {secret} ({status})"
        remedy = f"correct model.base_model, or log in as a user who may read it: {NEW_TOKEN}"
    else:
        problem, remedy = f"cannot be fetched: the Hub answers {status}", f"check HF_ENDPOINT, {OTHERWISE}"
    return BaseModelError(f"base model: {repo_id} {problem}", details=_words(err), resolution=remedy)


def _is_bad_token(err: HfHubHTTPError) -> bool:
    """Distinguish a token that the Hub does not know from a model that it hides; both are a 401."""
    from huggingface_hub.errors import RepositoryNotFoundError

    return err.response.status_code == 401 and not isinstance(err, RepositoryNotFoundError)


def _gated(repo_id: str, status: int, token: str | None) -> tuple[str, str]:
    """Return the problem with a gated model: nobody is logged in, or the user has no access yet."""
    page = f"https://huggingface.co/{repo_id}"
    if token is None:
        return f"is gated, and there is no token ({status})", f"accept {page}; {NEW_TOKEN}"
    if status == 401:
        return f"is gated, and the Hub does not know the token of {token} (401)", NEW_TOKEN
    remedy = (
        f"accept the terms at {page} (some owners answer later); a fine-grained token has to read gated repositories"
    )
    return f"is gated, and the account of the token of {token} has no access yet ({status})", remedy


def _token_place() -> str | None:
    """Return where the Hub's token comes from, or ``None`` where there is none."""
    from huggingface_hub import constants, get_token

    if get_token() is None:
        return None
    found = (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name, "").strip())
    return next(found, constants.HF_TOKEN_PATH)


def words_of(err: BaseException, token: str | None) -> str:
    """Return the first line of an error, short and without the token."""
    text = str(err).strip()
    first = text.splitlines()[0] if text else type(err).__name__
    return (first if token is None else first.replace(token, "***"))[:160]


def _words(err: BaseException) -> str:
    from huggingface_hub import get_token

    return words_of(err, get_token())
