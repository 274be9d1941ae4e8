"""A refusal of an AWS account on paper."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it is an answer
    """The account says no."""

    def __init__(self, status: int, code: str, words: str) -> None:
        """Keep what it says.

        Args:
            status: HTTP status.
            code: AWS's code.
            words: AWS's message.
        """
        super().__init__(f"{code}: {words}")
        self.status, self.code, self.words = status, code, words
