"""Notices by apprise: chats, mail, webhooks. Nothing that apprise says of an address is shown: it may hold a secret."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from runner.adapters.notices.order import Notice
from runner.run.host_words import one_line

if TYPE_CHECKING:
    from apprise import Apprise

TITLE_LENGTH, BODY_LENGTH = 120, 900
"""Characters: every service takes a notice of this length in one piece."""
WARNINGS = ("waiting", "reclaimed", "budget_80")
TYPES = {"failed": "failure", "finished": "success", **dict.fromkeys(WARNINGS, "warning")}
CAUSES = (
    (r"error=(\d{3})|HTTP (\d{3})", "it answered with HTTP status {}"),
    (r"timed out|[Tt]imeout", "no answer in time"),
    (r"refused", "it refuses the connection"),
    (r"resolve|resolution|Name or service", "there is no such host"),
    (r"CERTIFICATE|certificate|SSL", "its certificate is not good"),
    (r"No connection adapters|InvalidSchema|redirect", "it sends elsewhere, to where nothing is sent"),
    (r"[Aa]uthentication|\(535", "it does not take this user and password"),
    (r"[Cc]onnection|reset by peer", "the connection broke off"),
)
"""What a library writes while it sends, and what is said of it; the first that matches counts."""
_hears: ContextVar[object] = ContextVar("hears", default=None)
"""Apprise takes the context of its caller along into the threads in which it sends."""
UNREAD = "apprise does not read this address; docs/notices.md has examples"


def send(url: str, notice: Notice) -> str | None:
    """Send a notice to one address.

    Args:
        url: The address, secrets and all.
        notice: The notice.

    Returns:
        Why it did not arrive, in words without anything of the address; ``None`` if it did.
    """
    try:
        import apprise
    except ImportError:
        return "apprise is not installed: make notify-test installs it"
    heard = _Heard()
    with heard:
        try:
            receiver = _receiver(url)
            if receiver is None:
                return UNREAD
            is_sent = receiver.notify(
                title=one_line(notice.title)[:TITLE_LENGTH],
                body=one_line(notice.body)[:BODY_LENGTH],
                notify_type=TYPES.get(notice.event, "info"),
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as err:  # noqa: BLE001 - whatever a plug-in of apprise raises, its words may hold the address
            return heard.cause() or f"apprise failed with {type(err).__name__}"
    return None if is_sent else heard.cause() or "the service did not take it"


def _receiver(url: str) -> Apprise | None:
    """Return who gets what is sent to an address; ``None`` where apprise knows no such one."""
    import apprise

    asset = apprise.AppriseAsset(http_redirects=False, storage_mode="memory")  # a redirect may lead anywhere
    for candidate in (url, re.sub(r"^http(s?)://", r"json\1://", url)):  # any other web address is sent JSON
        plugin = apprise.Apprise.instantiate(candidate, asset=asset)
        if plugin is not None:
            receiver = apprise.Apprise(asset=asset)
            receiver.add(plugin)
            return receiver
    return None


class _Heard(logging.Handler):
    """Hears what libraries log while one address is written to, to find a cause in it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._words: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "requests")]

    def __enter__(self) -> _Heard:
        _hears.set(self)
        for logger in self._loggers:
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
            logger.addHandler(self)
        return self

    def __exit__(self, *error: Any) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)

    def cause(self) -> str | None:
        """Return why nothing was sent, if that is known."""
        text = "\n".join(self._words)
        for pattern, words in CAUSES:
            match = re.search(pattern, text)
            if match is not None:
                return words.format(next(filter(None, match.groups()), ""))
        return None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was logged on behalf of this address: others are written to at the same time."""
        if _hears.get() is self:
            self._words.append(record.getMessage())
