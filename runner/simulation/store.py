"""The S3 store of a simulated life: what is in its bucket, who may open it, and when it answers badly.

It keeps a book of every object that was written or removed, by which the rules judge: what the product says of the
store counts for nothing. ``store_client`` is the way to it, in place of boto3's.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from runner.clouds.aws.api import PrefixCredentials
from runner.errors import AccessDeniedError, BadRequestError, CloudUnavailableError
from runner.simulation.rates import STORE, StoreRates
from runner.simulation.trainer import EPOCH
from runner.simulation.turns import Turns
from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES
from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.files import object_or_none

BUCKET, FOLDER = "a-bucket", "runs"
URL = f"s3://{BUCKET}/{FOLDER}"
ENDPOINT = "https://s3.simulated"
ROLE = "arn:aws:iam::123456789012:role/runs"
KEY_ID = "AKIASIMULATED0000000"
SECRET = "simulated-secret-of-the-store"  # noqa: S105 - made up, and looked for in all that a life leaves at home
TOKEN = "simulated-token-of-a-role"  # noqa: S105 - the beginning of each session's, likewise
LONGEST_ROLE_S = 3600.0
"""For longer nobody gets this role, as is usual."""
DOWN, BUSY, DENIED, MUTE, LATE = "store down", "store busy", "store denies", "store mute", "store late"
"""For a while it cannot be reached, sends everybody away, lets nobody in, loses its answers, or is late with them."""
SPOILS, CUTS, LOSES = "store spoils", "store cuts", "store loses"
"""It damages the weights of the newest checkpoint, cuts them short, or loses that checkpoint's manifest."""
Manner = Literal["amazon", "gateway"]


@dataclass(frozen=True)
class Stored:
    """An object.

    Attributes:
        content: Its bytes.
        metadata: What came with it; a gateway keeps none.
        etag: What the store says of its content, if that is what it says.
        at_s: When it was written, in seconds of the life.
    """

    content: bytes
    metadata: Mapping[str, str]
    etag: str
    at_s: float

    @property
    def modified(self) -> datetime:
        """When it was written, to the second, as S3 says it."""
        return datetime.fromtimestamp(int(EPOCH + self.at_s), UTC)


@dataclass(frozen=True)
class Entry:
    """A line of the store's book.

    Attributes:
        at_s: When, in seconds of the life.
        who: Who did it; empty for the store itself, which has damaged it.
        key: Which object.
        content: What it has from then on; ``None`` for none.
    """

    at_s: float
    who: str
    key: str
    content: bytes | None


@dataclass
class SimulatedStore:
    """A bucket in the user's account at some provider.

    Attributes:
        manner: ``amazon`` keeps metadata and has MD5s for ETags, a ``gateway`` neither.
        turns: Whose time it goes by.
        chance: Where its weather comes from.
        note: Writes a line of the history.
        rates: How often what goes wrong.
        has_weather: Whether single requests fail.
        objects: What is there, by key.
        book: All that was ever written or removed.
        troubles: From when until when it answers badly, and how.
        faults: How often it did.
    """

    manner: Manner
    turns: Turns
    chance: random.Random
    note: Callable[[str], None]
    rates: StoreRates = STORE
    has_weather: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)
    book: list[Entry] = field(default_factory=list)
    troubles: list[tuple[float, float, str]] = field(default_factory=list)
    faults: int = 0
    _roles: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw how fast it is."""
        self.big_s = self.chance.choice(self.rates.big_s)
        """How long an object takes that is as big as weights are."""

    @property
    def now(self) -> datetime:
        """The store's own time of day."""
        return datetime.fromtimestamp(EPOCH, UTC) + timedelta(seconds=self.turns.passed_s)

    def trouble(self) -> str:
        """Return how it answers a request that comes now; nothing where it does well."""
        now_s = self.turns.passed_s
        found = next((kind for from_s, until_s, kind in self.troubles if from_s <= now_s < until_s), "")
        if not found and self.has_weather:
            found = next((kind for kind, rate in self.rates.requests if self.chance.random() < rate), "")
        self.faults += bool(found)
        return found

    def refusal(self, keys: Mapping[str, str]) -> tuple[int, str] | None:
        """Return status and code by which it refuses whoever comes with these keys; ``None`` where it does not."""
        key_id = keys.get("AWS_ACCESS_KEY_ID", "")
        if key_id == KEY_ID:
            return None
        ends_at = self._roles.get(key_id)
        if ends_at is None:
            return 403, "InvalidAccessKeyId"
        if not keys.get("AWS_SESSION_TOKEN", "").startswith(TOKEN):
            return 400, "InvalidToken"
        return (400, "ExpiredToken") if ends_at <= self.now else None

    def grant(self, duration_s: int) -> PrefixCredentials:
        """Return short-lived keys; the folder that they open is not looked at."""
        number, ends_at = len(self._roles), self.now + timedelta(seconds=duration_s)
        key_id = f"ASIASIMULATED{number:07}"
        self._roles[key_id] = ends_at
        return PrefixCredentials(key_id, f"{SECRET}-{number}", f"{TOKEN}-{number}", ends_at)

    def write(self, who: str, key: str, content: bytes, metadata: Mapping[str, str]) -> None:
        """Write an object, whole."""
        is_gateway = self.manner == "gateway"
        kept = {} if is_gateway else dict(metadata)
        salt = f"{len(self.book)}".encode() if is_gateway else b""
        etag = hashlib.md5(content + salt, usedforsecurity=False).hexdigest()
        self.objects[key] = Stored(content, kept, f'"{etag}"', self.turns.passed_s)
        self._enter(who, key, content)

    def remove(self, who: str, key: str) -> None:
        """Remove an object; nothing there is fine."""
        if self.objects.pop(key, None) is not None:
            self._enter(who, key, None)

    def damage(self, how: str) -> None:
        """Damage the newest checkpoint of the last run that has one, as none but the store itself can."""
        manifests = [key for key in self.objects if key.endswith(f"/{MANIFEST_NAME}") and is_checkpoint(_folder(key))]
        if not manifests:
            return
        newest = max(manifests, key=lambda key: (key.split("/")[1], step_of(_folder(key))))
        key = newest if how == LOSES else f"{newest.rpartition('/')[0]}/adapter_model.safetensors"
        there = self.objects.get(key)
        if there is None:
            return
        if how == LOSES:
            del self.objects[key]
            self._enter("", key, None)
            return
        content = there.content[:-1] + (b"" if how == CUTS else b"?")
        self.objects[key] = Stored(content, there.metadata, there.etag, there.at_s)
        self._enter("", key, content)

    def _enter(self, who: str, key: str, content: bytes | None) -> None:
        self.book.append(Entry(self.turns.passed_s, who, key, content))
        done = "loses" if content is None else "has"
        self.note(f"store {done} {key}{f' by {who}' if who else ', damaged'}")


class SimulatedRole:
    """The account in which a role for the run's folder can be taken: the one call of AWS's that a store needs."""

    def __init__(self, store: SimulatedStore, wait: Callable[[float], None], is_cut: Callable[[], bool]) -> None:
        """Take the store, and how whoever asks waits and is on the network."""
        self._store, self._wait, self._is_cut = store, wait, is_cut

    def sts_credentials_for_prefix(self, bucket: str, prefix: str, role_arn: str, duration_s: int) -> PrefixCredentials:
        """Return keys for one folder; see ``AwsCloud``.

        Raises:
            CloudUnavailableError: If nobody answers.
            AccessDeniedError: If the role is refused.
            BadRequestError: If it is asked for too long.
        """
        del bucket, role_arn
        self._wait(self._store.rates.way_s)
        trouble, doing = self._store.trouble(), f"aws: get credentials for {prefix}"
        if trouble in (DOWN, MUTE) or self._is_cut():
            self._wait(self._store.rates.give_up_s)
            raise CloudUnavailableError(f"{doing}: no answer", resolution="try again later")
        if trouble == DENIED:
            raise AccessDeniedError(f"{doing}: AccessDenied", resolution="allow sts:AssumeRole")
        if duration_s > LONGEST_ROLE_S:
            raise BadRequestError(f"{doing}: ValidationError", resolution="ask for less")
        return self._store.grant(duration_s)


class SimulatedSession:
    """What boto3 finds in the user's files: the keys of the store's owner."""

    def get_credentials(self) -> SimulatedSession:
        """Return the user's keys."""
        return self

    def get_frozen_credentials(self) -> SimulatedSession:
        """Return them as they are now."""
        return self

    access_key, secret_key, token = KEY_ID, SECRET, None


def is_complete(files: Mapping[str, bytes]) -> bool:
    """Return whether the files of a checkpoint are all that its manifest lists, and all that a resume needs."""
    manifest = object_or_none(files.get(MANIFEST_NAME, b"")) or {}
    listed = {one["name"]: one["sha256"] for one in manifest.get("files", ())}
    if not set(REQUIRED_FILES) <= set(listed):
        return False
    return all(name in files and hashlib.sha256(files[name]).hexdigest() == sha256 for name, sha256 in listed.items())


def _folder(key: str) -> str:
    return key.rsplit("/", 2)[-2]
