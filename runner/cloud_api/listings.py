"""How a listing of an account is put together, so that what cannot be read hides nothing of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.cloud_api.models import Listing, Resource
from runner.errors import CloudError, CloudUnavailableError


def gather(parts: Iterable[Callable[[], Listing]], *, one_server: bool = False) -> Listing:
    """Return what all parts of an account list; one that fails is unread, and the others count.

    Args:
        parts: Each lists a part, a kind of thing or a region.
        one_server: Whether one server answers for all parts: once it does not answer at all, it is not asked on, for
            each silence costs minutes of patience.

    Raises:
        CloudError: If no part could be read: the first one's.
    """
    resources: list[Resource] = []
    unread: list[CloudError] = []
    is_read = False
    for list_part in parts:
        try:
            part = list_part()
        except CloudError as err:
            unread.append(err)
            if one_server and _is_silence(err):
                break
            continue
        is_read = True
        resources += part.resources
        unread += part.unread
    if unread and not is_read:
        raise unread[0]
    return Listing(resources, unread)


def _is_silence(err: CloudError) -> bool:
    return isinstance(err, CloudUnavailableError) and err.status is None
