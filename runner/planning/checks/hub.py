"""The Hugging Face Hub: the small files of a base model, and whose the token there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from runner.cloud_api.network import NO_WAY_OUT
from runner.planning.checks.line import Check, failed, not_asked, passed, skipped
from runner.run.run_file import RunFile
from trainer.base_model.hub_files import NEW_TOKEN, REQUIRED, find_small_files, words_of
from trainer.base_model.origin import commit_of, given_commit

NAME = "base model"
TOKEN = "hub token"  # noqa: S105 - the name of a line
UNREACHABLE = "the Hub cannot be reached"
REQUEST_S = 8.0


class Found(NamedTuple):
    """A Hub model's small files.

    Attributes:
        folder: Where they are.
        trouble: Why the Hub was not asked, where somebody would expect that it is.
        commit: The commit that the revision stands for; ``None`` where the Hub was not asked.
        true_name: What the model is called on the Hub by now, likewise.
    """

    folder: Path
    trouble: str | None = None
    commit: str | None = None
    true_name: str | None = None


def is_on_hub(run_file: RunFile) -> bool:
    """Return whether the base model is read from the Hub."""
    base = run_file.model.base_model
    return not base.startswith("pypi:") and not Path(base).is_absolute()


def find_model(repo_id: str, revision: str | None, *, reach: Callable[[str], bool] = lambda _: True) -> Found:
    """Return the small files of a Hub model: configuration, tokenizer, template; no weights.

    Where the Hub gives no answer, those in the cache are taken.

    Args:
        repo_id: The model, as ``org/name``.
        revision: Commit, tag or branch; ``None`` is the newest.
        reach: Returns whether an address can be reached.

    Raises:
        BaseModelError: If they cannot be had: then neither samples nor cost can be checked.
    """
    from huggingface_hub import constants

    found = find_small_files(repo_id, revision, reach=reach)
    folder = found.files[REQUIRED[0]].parent
    if found.trouble is None:
        return Found(folder, None, commit_of(folder), found.true_name)
    # Who works offline wants what is in the cache: that is no trouble.
    return Found(folder, None if constants.is_offline_mode() else found.trouble, given_commit(revision))


def check_token(
    token: str | None,
    *,
    reads_hub: bool,
    reach: Callable[[str], bool] = lambda _: True,
    transport: httpx2.BaseTransport | None = None,
) -> Check:
    """Ask the Hub whose token it is and of which kind; nothing is published yet, so any kind will do.

    Args:
        token: The token, or ``None``.
        reads_hub: Whether the base model is on the Hub.
        reach: Returns whether an address can be reached.
        transport: A stand-in for the network.

    Source: ``/api/whoami-v2``, of whose answer ``auth.accessToken.role`` is ``read``, ``write`` or ``fineGrained``.
    """
    if not reads_hub:
        return skipped(TOKEN, "this run reads nothing from the Hub and writes nothing there")
    if token is None:
        return skipped(TOKEN, "none; a public base model needs none")
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return not_asked(TOKEN, "HF_HUB_OFFLINE is set", "unset it to have the token checked")
    if not reach(constants.ENDPOINT):
        return not_asked(TOKEN, UNREACHABLE)
    try:
        answer = _whoami(constants.ENDPOINT, token, transport)
    except (httpx2.HTTPError, *NO_WAY_OUT) as err:
        return not_asked(TOKEN, f"the Hub gives no answer ({words_of(err, token)})")
    return _judged(answer)


def _whoami(endpoint: str, token: str, transport: httpx2.BaseTransport | None) -> httpx2.Response:
    with httpx2.Client(timeout=REQUEST_S, transport=transport) as client:
        return client.get(f"{endpoint}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})


def _mapping_of(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        reported = answer.json()
    except ValueError:
        return {}
    return reported if isinstance(reported, dict) else {}


def _judged(answer: httpx2.Response) -> Check:
    """Return the line for what the Hub says of a token."""
    if answer.status_code in (401, 403):
        return failed(TOKEN, f"the Hub does not take the token ({answer.status_code})", NEW_TOKEN)
    reported = _mapping_of(answer)
    if answer.status_code != 200 or not reported:
        return not_asked(TOKEN, f"the Hub answers {answer.status_code} to whose token it is")
    owner, access = str(reported.get("name") or "?"), _part(_part(reported, "auth"), "accessToken")
    role = str(access.get("role") or "unknown")
    return passed(TOKEN, f"{role} token of {owner}")


def _part(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = reported.get(name)
    return value if isinstance(value, dict) else {}
