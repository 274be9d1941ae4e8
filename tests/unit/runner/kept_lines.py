"""A view that keeps what is said, for tests that read it."""

from __future__ import annotations

from runner.cli.terminal import SilentView


class Lines(SilentView):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)
