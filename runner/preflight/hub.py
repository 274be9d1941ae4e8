"""The Hugging Face Hub: the small files of a base model, and what the token there may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from runner.preflight.check import Check, failed, not_asked, passed, skipped, warned
from trainer.errors import BaseModelError
from trainer.hub_files import REQUIRED, fetch_tokenizer_files

NAME = "base model"
TOKEN = "hub token"  # noqa: S105 - the name of a line
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
NEW_TOKEN = f"make a token at {TOKENS_PAGE}, then set HF_TOKEN or run `hf auth login`"
WRITE = "repo.write"
"""The right of a fine-grained token to write into repositories, as ``whoami-v2`` names it."""
UNREACHABLE = "the Hub cannot be reached"
REQUEST_S = 8.0


class HubModelError(BaseModelError):
    """A model of the Hub that cannot be looked at; ``line`` says so."""

    def __init__(self, line: Check) -> None:
        """Keep the line."""
        super().__init__(line.value, resolution=line.remedy)
        self.line = line


class Found(NamedTuple):
    """The folder with a Hub model's small files, and why the Hub was not asked, if it was not."""

    folder: Path
    trouble: str | None = None


def find_model(
    repo_id: str, revision: str | None, *, has_token: bool, reach: Callable[[str], bool] = lambda _: True
) -> Found:
    """Return the small files of a Hub model: configuration, tokenizer, template; no weights.

    Where the Hub gives no answer, those in the cache are taken.

    Args:
        repo_id: The model, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
        has_token: Whether there is a token for the Hub.
        reach: Tells whether an address can be connected to at all.

    Raises:
        HubModelError: If they cannot be had.
    """
    from huggingface_hub import constants

    # The library tries for 23 seconds where nothing is cached and nobody answers: it is only let to a Hub that does.
    if constants.is_offline_mode():
        trouble: str | None = "HF_HUB_OFFLINE is set"
    else:
        trouble = _trouble(repo_id, revision) if reach(constants.ENDPOINT) else UNREACHABLE
    if trouble is None:
        return Found(_fetch(repo_id, revision, has_token))
    folder = cached_folder(repo_id, revision)
    if folder is None:
        raise HubModelError(_not_here(repo_id, trouble))
    return Found(folder, None if constants.is_offline_mode() else trouble)


def _trouble(repo_id: str, revision: str | None) -> str | None:
    """Ask the Hub once for a model's configuration; say what is wrong if that gets no answer."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        get_hf_file_metadata(hf_hub_url(repo_id, REQUIRED[0], revision=revision), timeout=REQUEST_S)
    except HFValidationError:
        return None  # no name of a model at all: that is told when it is fetched
    except HfHubHTTPError as err:  # a refusal is an answer, and told when the model is fetched
        status = err.response.status_code
        return f"the Hub answers {status}" if status >= 500 or status == 429 else None
    except httpx2.HTTPError as err:
        return f"the Hub gives no answer ({_words(err)})"
    return None


def _fetch(repo_id: str, revision: str | None, has_token: bool) -> Path:
    try:
        return fetch_tokenizer_files(repo_id, revision)[REQUIRED[0]].parent
    except BaseModelError as err:
        raise HubModelError(_refused(repo_id, err, has_token)) from err
    except httpx2.HTTPError as err:  # a connection that broke in the middle, a proxy
        raise HubModelError(_not_here(repo_id, _words(err))) from err


def _not_here(repo_id: str, trouble: str) -> Check:
    """Return the line for a model of which there is nothing to look at."""
    remedy = "connect to the network (and unset HF_HUB_OFFLINE), or set model.base_model to a local folder"
    return not_asked(NAME, f"{repo_id} is not in the cache, and {trouble}", remedy)


def cached_folder(repo_id: str, revision: str | None) -> Path | None:
    """Return the folder with the small files of a Hub model if they are on this machine already; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repo_id, name, revision=revision) for name in REQUIRED]
    paths = [Path(path) for path in found if isinstance(path, str)]
    return paths[0].parent if len(paths) == len(REQUIRED) else None


def _refused(repo_id: str, err: BaseModelError, has_token: bool) -> Check:
    """Return the line for what the Hub said, by what the library made of it."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    cause = err.__cause__
    if isinstance(cause, LocalEntryNotFoundError):  # nothing in the cache, and this is why nobody was asked
        cause = cause.__cause__
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else 500
        if status >= 500 or status == 429:
            return _not_here(repo_id, f"the Hub gives no answer ({_words(cause)})")
    if isinstance(cause, GatedRepoError):
        return _gated(repo_id, cause.response.status_code, has_token)
    if isinstance(cause, HfHubHTTPError) and not isinstance(cause, RepositoryNotFoundError):
        status = cause.response.status_code
        if status == 401:
            return failed(NAME, f"the Hub refuses the token (401) for {repo_id}", NEW_TOKEN)
        if status == 403:
            return failed(NAME, f"the token may not read {repo_id} (403)", f"give it that right at {TOKENS_PAGE}")
    return failed(NAME, err.message.removeprefix("base model: "), err.resolution)


def _gated(repo_id: str, status: int, has_token: bool) -> Check:
    """Return the line for a gated model: nobody is logged in, or whoever is has not been let in yet."""
    page = f"https://huggingface.co/{repo_id}"
    if not has_token:
        return failed(NAME, f"{repo_id} is gated, and there is no token ({status})", f"accept {page}; {NEW_TOKEN}")
    if status == 401:
        return failed(NAME, f"{repo_id} is gated, and the Hub does not know the token (401)", NEW_TOKEN)
    return failed(
        NAME,
        f"{repo_id} is gated, and the token's account has no access yet ({status})",
        f"accept the terms at {page} (some owners answer later); a fine-grained token has to read gated repositories",
    )


def _words(err: BaseException | None) -> str:
    """Return the first line of an error, short."""
    text = str(err).strip().splitlines()[0] if str(err).strip() else ""
    return text[:120] or type(err).__name__


def check_token(
    token: str | None,
    *,
    reads_hub: bool,
    publish_to: str | None = None,
    reach: Callable[[str], bool] = lambda _: True,
    transport: httpx2.BaseTransport | None = None,
) -> Check:
    """Ask the Hub whose token it is and what it may do.

    Args:
        token: The token, or ``None``.
        reads_hub: Whether the base model is on the Hub.
        publish_to: Repository that the adapter goes to, or ``None``.
        reach: Tells whether an address can be connected to at all.
        transport: A stand-in for the network.

    Source: ``/api/whoami-v2``, of whose answer ``auth.accessToken`` has ``role`` (``read``, ``write``,
    ``fineGrained``) and ``fineGrained.scoped``, a list of ``entity`` and ``permissions``.
    """
    if not reads_hub and publish_to is None:
        return skipped(TOKEN, "this run reads nothing from the Hub and writes nothing there")
    if token is None:
        if publish_to is None:
            return skipped(TOKEN, "none; a public base model needs none")
        return failed(TOKEN, f"there is none, and {publish_to} is to be written", NEW_TOKEN)
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return not_asked(TOKEN, "HF_HUB_OFFLINE is set", "unset it to have the token checked")
    if not reach(constants.ENDPOINT):
        return not_asked(TOKEN, UNREACHABLE)
    try:
        answer = _whoami(constants.ENDPOINT, token, transport)
    except httpx2.HTTPError as err:
        return not_asked(TOKEN, f"the Hub gives no answer ({_words(err).replace(token, '***')})")
    return _judged(answer, publish_to)


def _whoami(endpoint: str, token: str, transport: httpx2.BaseTransport | None) -> httpx2.Response:
    with httpx2.Client(timeout=REQUEST_S, transport=transport) as client:
        return client.get(f"{endpoint}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})


def _mapping_of(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _judged(answer: httpx2.Response, publish_to: str | None) -> Check:
    """Return the line for what the Hub says of a token."""
    if answer.status_code in (401, 403):
        return failed(TOKEN, f"the Hub does not take the token ({answer.status_code})", NEW_TOKEN)
    told = _mapping_of(answer)
    if answer.status_code != 200 or not told:
        return not_asked(TOKEN, f"the Hub answers {answer.status_code} to whose token it is")
    owner, access = str(told.get("name") or "?"), _part(_part(told, "auth"), "accessToken")
    role = str(access.get("role") or "unknown")
    value = f"{role} token of {owner}"
    if publish_to is None or role == "write":
        return passed(TOKEN, value)
    if role == "fineGrained":
        scopes = _part(access, "fineGrained").get("scoped")
        if any(_may_write(scope, publish_to) for scope in scopes or [] if isinstance(scope, dict)):
            return passed(TOKEN, f"{value}, may write {publish_to}")
    elif role != "read":
        return warned(TOKEN, f"{value}; whether it may write {publish_to} is not told", NEW_TOKEN)
    return failed(
        TOKEN, f"{value} may not write {publish_to}", f"give it write access to {publish_to} at {TOKENS_PAGE}"
    )


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _may_write(scope: Mapping[str, Any], repo_id: str) -> bool:
    """Tell whether a scope of a fine-grained token covers a repository: its own, or all of its owner's."""
    entity = _part(scope, "entity").get("name")
    return WRITE in (scope.get("permissions") or ()) and entity in (repo_id, repo_id.partition("/")[0])
