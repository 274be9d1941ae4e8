"""User data: the part of ``#cloud-config`` that Douse writes, read strictly before a box boots."""

from __future__ import annotations

import json
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.errors import UsageError

HEADER = "#cloud-config"


class UserDataError(UsageError):
    """User data holds what a box does not know; a real machine would pass over it with a warning in a log."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SshKeys(_Strict):
    """The machine's own key pair."""

    ed25519_private: str
    ed25519_public: str


class WriteFile(_Strict):
    """A file that is written before anything runs."""

    path: str = Field(pattern=r"^/")
    content: str = ""
    encoding: Literal["text/plain", "b64", "base64"] = "text/plain"
    owner: str = Field(default="root:root", pattern=r"^[a-z_][a-z0-9_-]*(:[a-z_][a-z0-9_-]*)?$")
    permissions: str = Field(default="0644", pattern=r"^0?[0-7]{3,4}$")
    append: bool = False
    defer: bool = False


class UserData(_Strict):
    """What happens on a machine's first boot."""

    ssh_keys: SshKeys | None = None
    ssh_deletekeys: bool = True
    write_files: list[WriteFile] = Field(default_factory=list)
    runcmd: list[str | list[str]] = Field(default_factory=list)


def read_user_data(text: str | None) -> UserData:
    """Return user data as a box takes it.

    Raises:
        UserDataError: If it is no ``#cloud-config``, or holds what a box does not know.
    """
    if text is None or not text.strip():
        return UserData()
    if text.splitlines()[0].strip() != HEADER:
        raise _refusal(f"its first line is not {HEADER}")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise _refusal("it is not YAML", str(err)) from err
    try:
        return UserData.model_validate({} if value is None else value)
    except ValidationError as err:
        errors = err.errors(include_url=False, include_input=False, include_context=False)
        where = ".".join(str(part) for part in errors[0]["loc"]) or "the whole"
        raise _refusal(f"{where}: {errors[0]['msg']}", json.dumps(errors)) from err


def _refusal(why: str, details: str | None = None) -> UserDataError:
    return UserDataError(
        f"boxes: the user data cannot be used: {why}",
        details=details,
        resolution="use ssh_keys, ssh_deletekeys, write_files and runcmd only",
    )
