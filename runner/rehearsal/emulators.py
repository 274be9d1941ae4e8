"""The emulated clouds of one rehearsal, as a process of their own: started, asked, ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from runner.adapters import process
from runner.clouds.registry import real_variables
from runner.emulation.boxes import clean
from runner.errors import ToolError, UsageError
from runner.rehearsal.services import BOXES, emulated_clouds
from runner.rehearsal.store import settings_of, surroundings_of
from runner.run.notices_section import ADDRESSES_VARIABLE
from runner.run.run_dir import PROJECT, read_json
from runner.safety.patience import VARIABLE

START_S = 180.0
END_S = 90.0
ASK_S = 30.0
PATIENCE = 0.1
"""Emulated clouds list what they have made within seconds."""


class Emulators:
    """Emulated clouds and their boxes; leaving the block ends them all."""

    def __init__(
        self,
        cloud: str,
        folder: Path,
        hub: Path | None = None,
        *,
        beside: Sequence[str] = (),
        store: str | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        """Take what there is to be.

        Args:
            cloud: The cloud's name.
            folder: For all of the rehearsal.
            hub: Folder of what a Hub is to have, ``None`` for no Hub.
            beside: Clouds that are there as well.
            store: One of ``store.STORES``, ``None`` for none.
            settings: Durations and quotas of the clouds, as ``CLOUD.NAME=NUMBER``.
        """
        self.cloud, self.folder, self._hub, self._beside = cloud, folder, hub, tuple(beside)
        self._store, self._settings = store, tuple(settings)
        self._child: process.Child | None = None
        self.endpoints: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start them and wait until they answer.

        Raises:
            ToolError: If they do not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "serve.log"
        clouds = ",".join((self.cloud, *self._beside))
        argv = [sys.executable, "-m", "runner.rehearsal.serve", "--clouds", clouds, "--folder", str(self.folder)]
        argv += ["--until-pid", str(os.getpid()), *([] if self._hub is None else ["--hub", str(self._hub)])]
        argv += [word for setting in self._settings for word in ("--setting", setting)]
        argv += [] if self._store is None else ["--store", self._store]
        self._child = process.start(argv, log=log, cwd=PROJECT, env=scrubbed(os.environ))
        try:
            self._wait_for_endpoints(log)
        except BaseException:
            self._end(self._child)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them with all their boxes."""
        if self._child is not None:
            self._end(self._child)

    def _end(self, child: process.Child) -> None:
        """End them; whatever had to be killed is cleaned up by its names."""
        if child.end(END_S) == -signal.SIGKILL:
            clean(self.folder / BOXES)

    def environment(self) -> dict[str, str]:
        """Return the whole environment for a runner that is to know nothing but the emulated clouds."""
        clouds = emulated_clouds()
        no_account = {name: value for cloud in clouds.values() for name, value in cloud.no_account.items()}
        ours = {VARIABLE: str(PATIENCE)} | self._hub_variables()
        environ = surroundings_of(self._store, self.folder, scrubbed(os.environ)) | no_account | ours
        for name in (self.cloud, *self._beside):
            environ |= clouds[name].environment(self.endpoints)
        return environ

    def _hub_variables(self) -> dict[str, str]:
        """Return what leads to the emulated Hub alone, and keeps what comes from there out of the user's cache."""
        if "hub" not in self.endpoints:
            return {}
        cache = str(self.folder / "hub-cache")
        return {"HF_ENDPOINT": self.endpoints["hub"], "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": cache}

    def settings(self) -> list[str]:
        """Return the settings of a run file that lead a run to what is served and is no cloud."""
        return settings_of(self._store, self.endpoints["store"], self.folder) if "store" in self.endpoints else []

    def other_account(self) -> Mapping[str, str]:
        """Return the variables of ``environment`` that are the key, as they lead to another account."""
        return emulated_clouds()[self.cloud].other_account

    def ask(self, path: str) -> Any:
        """Return the control API's answer."""
        answer = httpx2.get(self.endpoints["control"] + path, timeout=ASK_S)
        answer.raise_for_status()
        return answer.json()

    def send(self, path: str, body: Mapping[str, Any]) -> None:
        """Send the control API something.

        Raises:
            UsageError: If it refuses, in its own words.
        """
        answer = httpx2.post(self.endpoints["control"] + path, json=dict(body), timeout=ASK_S)
        if answer.is_error:
            said = answer.json()
            raise UsageError(f"rehearse: {said.get('error')}", resolution=said.get("hint") or "see docs/rehearsal.md")

    def _wait_for_endpoints(self, log: Path) -> None:
        deadline = time.monotonic() + START_S
        while not self.endpoints:
            self.endpoints = read_json(self.folder / "endpoints.json") or {}
            gone = self._child is None or self._child.poll() is not None
            if gone or time.monotonic() > deadline:
                words = log.read_text(errors="replace").strip().splitlines()
                raise ToolError(
                    f"rehearse: the emulated cloud did not come up: {(words or ['not a word'])[-1]}",
                    details="\n".join(words[-30:]),
                    resolution=f"see {log}; `make rehearse-clean` removes what is left",
                )
            time.sleep(0.05)


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without anything that leads to a real account, or to who gets notices of real runs."""
    real = (*real_variables(), ADDRESSES_VARIABLE)
    return {name: value for name, value in environ.items() if not name.startswith(real)}
