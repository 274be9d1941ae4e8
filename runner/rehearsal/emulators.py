"""The emulated clouds of one rehearsal, as a process of their own: started, asked, ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from runner.adapters import process
from runner.errors import ToolError, UsageError
from runner.run.run_dir import PROJECT, read_json

START_S = 180.0
END_S = 90.0
ASK_S = 30.0
REAL_CREDENTIALS = ("LAMBDA_", "RUNPOD_", "AWS_", "DOUSE_LAMBDA_ENDPOINT", "DOUSE_RUNPOD", "DOUSE_AWS")
"""Variables that may lead to a real account: none of them reaches a rehearsal."""
KEY = "rehearsal-key-0123456789abcdef"


class Emulators:
    """Emulated clouds and their boxes; leaving the block ends them all."""

    def __init__(self, cloud: str, folder: Path) -> None:
        """Take the name of the cloud and the folder for all that belongs to the rehearsal."""
        self.cloud, self.folder = cloud, folder
        self._child: process.Child | None = None
        self.endpoints: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start them and wait until they answer.

        Raises:
            ToolError: If they do not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "serve.log"
        argv = [sys.executable, "-m", "runner.rehearsal.serve", "--clouds", self.cloud, "--folder", str(self.folder)]
        argv += ["--until-pid", str(os.getpid())]
        self._child = process.start(argv, log=log, cwd=PROJECT, env=scrubbed(os.environ))
        try:
            self._wait_for_endpoints(log)
        except BaseException:
            self._child.end(END_S)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them with all their boxes."""
        if self._child is not None:
            self._child.end(END_S)

    def environment(self) -> dict[str, str]:
        """Return the whole environment for a runner that is to know nothing but the emulated cloud."""
        own = scrubbed(os.environ) | {"AWS_EC2_METADATA_DISABLED": "true"}
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        logins = urlsplit(self.endpoints.get("logins", ""))
        if self.cloud == "lambda":
            there = {"DOUSE_LAMBDA_SSH_PORT": str(logins.port), "TF_VAR_lambda_user": str(logins.username)}
            return (
                own
                | nowhere
                | {"LAMBDA_API_KEY": KEY, "DOUSE_LAMBDA_ENDPOINT": self.endpoints["lambda"]}
                | (there if logins.port else {})
            )
        if self.cloud == "runpod":
            return (
                own
                | nowhere
                | ({"DOUSE_RUNPOD_USER": str(logins.username)} if logins.username else {})
                | {
                    "RUNPOD_API_KEY": KEY,
                    "DOUSE_RUNPOD_ENDPOINT": self.endpoints["runpod"],
                    "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": self.endpoints["runpod_graphql"],
                }
            )
        return (
            own
            | nowhere
            | {
                "AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000",
                "AWS_SECRET_ACCESS_KEY": KEY,
                "AWS_ENDPOINT_URL": self.endpoints["aws"],
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "DOUSE_AWS_REGIONS": "us-east-1",
                "TF_VAR_aws_max_retries": "2",  # an emulated fault does not pass by waiting
                "DOUSE_ADDRESS_URL": self.endpoints["control"] + "/address",
            }
        )

    def ask(self, path: str) -> Any:
        """Return what the control API says."""
        answer = httpx2.get(self.endpoints["control"] + path, timeout=ASK_S)
        answer.raise_for_status()
        return answer.json()

    def tell(self, path: str, body: Mapping[str, Any]) -> None:
        """Tell the control API something.

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
                    resolution=f"see {log}; `make rehearse-clean` ends what is left",
                )
            time.sleep(0.05)


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without anything that leads to a real account."""
    return {name: value for name, value in environ.items() if not name.startswith(REAL_CREDENTIALS)}
