"""Lambda Cloud, API v1: no spot, no server-side end, no creation time; billed from the launch until the terminate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from runner.cloud_api.answers import read, read_entry, read_some, refuse_part
from runner.cloud_api.credentials import Environ, seconds, secret
from runner.cloud_api.http import Api
from runner.cloud_api.labels import leased_name
from runner.cloud_api.listings import gather, is_named, judged
from runner.cloud_api.models import Account, Listing, Offer, Quota, Resource, TrustWanted
from runner.cloud_api.pacing import Timer, shared_pace
from runner.clouds.lambda_cloud.listing import (
    LIST_KEYS,
    LIST_MACHINES,
    LIST_VOLUMES,
    key_in,
    machine_in,
    volume_in,
)
from runner.clouds.lambda_cloud.messages import (
    Ended,
    Instance,
    InstanceType,
    Launched,
    LaunchRequest,
    ListedType,
    SshKey,
    data_of,
)
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.errors import (
    BadRequestError,
    CloudUnavailableError,
    NotFoundError,
    UnreadableAnswerError,
)

ENDPOINT = "https://cloud.lambda.ai/api/v1"
PACE_S = 1.0
LAUNCH_PACES = 12
"""A launch may follow another after so many times the general pace."""
BACKOFF_PACES = 10
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*GB")

Content = TypeVar("Content")


def open_lambda(environ: Environ, *, timer: Timer) -> LambdaCloud:
    """Return the account on Lambda Cloud that the environment names; nothing is asked yet.

    Raises:
        AccountError: If it names none, or its key cannot be read.
    """
    return LambdaCloud(
        secret(environ, "LAMBDA_API_KEY", "lambda"),
        endpoint=endpoint_in(environ),
        pace_s=seconds(environ, "DOUSE_LAMBDA_PACE_S", PACE_S),
        timer=timer,
    )


def endpoint_in(environ: Environ) -> str:
    """Return the address of the API: Lambda's own, unless a variable names another."""
    return environ.get("DOUSE_LAMBDA_ENDPOINT") or ENDPOINT


class LambdaCloud:
    """One account on Lambda Cloud."""

    name = "lambda"

    def __init__(
        self,
        api_key: str,
        *,
        endpoint: str = ENDPOINT,
        pace_s: float = PACE_S,
        timer: Timer,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the account's key; nothing is asked yet.

        Args:
            api_key: Key of the account.
            endpoint: Address of the API up to its version.
            pace_s: Seconds between requests; between launches twelve times as many.
            timer: The clock and the way to wait.
            transport: A stand-in for the world's network.
        """
        pace = shared_pace(timer.world, "lambda", api_key, endpoint, pace_s)
        self._launches = shared_pace(timer.world, "lambda", api_key, f"{endpoint} launch", LAUNCH_PACES * pace_s)
        self._label = f"key …{api_key[-4:]}"
        self._api = Api(
            "lambda",
            endpoint,
            api_key,
            refusal=lambda_refusal,
            pace=pace,
            backoff_s=BACKOFF_PACES * pace_s,
            timer=timer,
            transport=transport,
        )

    def __repr__(self) -> str:
        """Return the cloud and the address, never the key."""
        return f"LambdaCloud({self._api!r})"

    def close(self) -> None:
        """Let the connections go."""
        self._api.close()

    @property
    def clock_off(self) -> timedelta:
        """How far the cloud's clock is ahead of this computer's, as far as its answers have said."""
        return self._api.clock_off or timedelta()

    def fingerprint(self, salt: str) -> str:
        """Return the key's; the API has no word for the account."""
        return self._api.fingerprint(salt)

    def account(self) -> Account:
        """Check the key; Lambda reports neither the account's name nor its balance."""
        list(self._entries("/ssh-keys", LIST_KEYS))
        return Account("lambda", self._label)

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        """Return every kind of machine with a GPU, one for each region that has it, cheapest first.

        A kind that no region has now comes once, with region ``any`` and ``available=False``: it cannot be launched
        so. The list is the cloud's advice; a launch may be refused all the same.
        """
        found = [offer for listed in self.instance_types() for offer in _offers(listed)]
        return sorted(found, key=lambda offer: (offer.price_usd_per_h, offer.instance_type, offer.region))

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Return nothing: Lambda's API does not report what an account may have."""
        return {}

    def listing(self) -> Listing:
        """Return all Douse machines, keys and file systems; machines gone for good are left out."""
        found = gather((self._our_machines, self._our_keys, self._our_volumes), one_server=True)
        return replace(found, clock_off=self.clock_off)

    def end(self, resource: Resource) -> None:
        """Ask the cloud to end one resource; one that is gone already is fine.

        Raises:
            BadRequestError: If a file system is in use, or Lambda has no such kind of thing.
        """
        if resource.kind == "instance":
            self.terminate(resource.id)
        elif resource.kind == "key":
            self.delete_key(resource.id)
        elif resource.kind == "volume":
            self.delete_file_system(resource.id)
        else:
            raise BadRequestError(
                f"lambda: cannot terminate {resource.kind} {resource.id}: unknown kind of resource",
                resolution="delete it in the console: docs/clouds/lambda.md",
            )

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        """Write the end of a machine's lease into its name, the one thing about a living machine that can be changed.

        A machine whose run cannot be read, or leaves no room for a deadline, keeps its name. The deadline is written by
        the cloud's clock, by which every sweep judges it.
        """
        if machine.run_id is None or leased_name(machine.run_id, ends_at) is None:
            return
        if self._api.clock_off is None:
            self.instance(machine.id)
        name = leased_name(machine.run_id, ends_at + self.clock_off)
        path = f"/instances/{quote(machine.id, safe='')}"
        self._post(path, {"name": name}, Instance, f"rename machine {machine.id}", repeatable=True)

    def launch(self, request: LaunchRequest) -> str:
        """Rent a machine and return its id; never sent twice, unless the cloud refused it for too many requests.

        Raises:
            NoCapacityError: If it cannot be had there now.
            AccountError: If the key, the balance or the quota forbids it.
            BadRequestError: If the key, the type, the region or anything else in the request is unknown.
            CloudUnavailableError: If nobody knows whether the machine exists: look for its name in ``instances()``.
        """
        doing = f"launch {request.instance_type_name} in {request.region_name}"
        try:
            launched = self._post("/instance-operations/launch", request.body(), Launched, doing, launch=True)
        except NotFoundError as err:
            raise BadRequestError(
                err.message,
                details=err.details,
                resolution="check the names of the instance type, the region, the key and the file systems",
                code=err.code,
                status=err.status,
            ) from err
        except UnreadableAnswerError as err:
            raise _unsure(doing, err) from err
        if launched.only is None:
            raise CloudUnavailableError(
                f"lambda: cannot {doing}: the answer names {len(launched.instance_ids)} machines, not one",
                details=", ".join(launched.instance_ids) or None,
                resolution=f"run `make sweep`: it lists {request.name} if it exists",
            )
        return launched.only

    def instance(self, instance_id: str) -> Instance:
        """Return a machine; one that is gone may be here with a state of ``GONE`` for a while.

        Raises:
            NotFoundError: If there is none (any more).
        """
        return self._get(f"/instances/{quote(instance_id, safe='')}", Instance, f"look at machine {instance_id}")

    def machines_named(self, name: str) -> list[str]:
        """Return the ids of the machines of this name that are not on their way out.

        Raises:
            UnreadableAnswerError: If none was found, and a machine's name cannot be read.
        """
        found = judged(
            self._entries("/instances", LIST_MACHINES),
            partial(machine_in, is_wanted=is_named(name)),
        )
        there = [machine.id for machine in found.resources if machine.status != "ending"]
        if not there:
            found.whole()
        return there

    def terminate(self, instance_id: str) -> None:
        """Ask for the end of a machine; one that is ending or gone is fine. Does not wait."""
        doing = f"terminate machine {instance_id}"
        try:
            ended = self._post(
                "/instance-operations/terminate", {"instance_ids": [instance_id]}, Ended, doing, repeatable=True
            )
        except NotFoundError:
            return
        except (BadRequestError, CloudUnavailableError):
            # Lambda answers ``global/unknown`` for a machine that is ending already; and an answer may be lost.
            if not self._is_ending(instance_id):
                raise
            return
        if not ended.names(instance_id) and not self._is_ending(instance_id):
            raise CloudUnavailableError(
                f"lambda: cannot {doing}: the answer does not confirm it",
                resolution="run `make down` or `make sweep APPLY=1` again",
            )

    def keys(self) -> list[SshKey]:
        """Return the registered public keys that can be read."""
        entries = self._entries("/ssh-keys", LIST_KEYS)
        return read_some(entries, partial(read_entry, SshKey, cloud="lambda", doing=LIST_KEYS))

    def add_key(self, name: str, public_key: str) -> SshKey:
        """Register a public key under a name; the same key under the same name is fine.

        Raises:
            BadRequestError: If the name belongs to another key, or the cloud does not take the key.
        """
        doing = f"register SSH key {name}"
        try:
            return self._post("/ssh-keys", {"name": name, "public_key": public_key}, SshKey, doing)
        except (BadRequestError, CloudUnavailableError, UnreadableAnswerError) as err:
            taken = [key for key in self.keys() if key.name == name]
            same = next((key for key in taken if key.holds(public_key)), None)
            if same is not None:
                return same
            if not taken:
                raise
            raise BadRequestError(
                f"lambda: cannot {doing}: the name belongs to another key ({taken[0].id})",
                details=err.details,
                resolution=f"delete the key {name} in Lambda's console if it is not needed",
                code=err.code,
                status=err.status,
            ) from err

    def delete_key(self, key_id: str) -> None:
        """Remove a registered key; one that is gone is fine."""
        self._delete(f"/ssh-keys/{quote(key_id, safe='')}", f"delete SSH key {key_id}")

    def instance_types(self) -> list[ListedType]:
        """Return every kind of machine."""
        doing = "list the instance types"
        kinds = self._get("/instance-types", dict[str, Any], doing)
        return read_some(kinds.values(), partial(read_entry, ListedType, cloud="lambda", doing=doing))

    def delete_file_system(self, file_system_id: str) -> None:
        """Remove a file system and all it holds; one that is gone is fine."""
        self._delete(f"/filesystems/{quote(file_system_id, safe='')}", f"delete file system {file_system_id}")

    def _our_machines(self) -> Listing:
        return judged(self._entries("/instances", LIST_MACHINES), machine_in)

    def _our_keys(self) -> Listing:
        return judged(self._entries("/ssh-keys", LIST_KEYS), key_in)

    def _our_volumes(self) -> Listing:
        return judged(self._entries("/file-systems", LIST_VOLUMES), volume_in)

    def _is_ending(self, instance_id: str) -> bool:
        try:
            return self.instance(instance_id).is_ending
        except NotFoundError:
            return True

    def _entries(self, path: str, doing: str) -> Iterator[Any]:
        """Yield the entries of a list, which Lambda gives whole; one that says that there is more ends in an error."""
        answer = self._api.ask("GET", path, doing=doing, repeatable=True)
        listed = read(data_of(list[Any]), answer, cloud="lambda", doing=doing, may_be_part=True)
        yield from listed.data
        refuse_part(listed, answer, cloud="lambda", doing=doing)

    def _get(self, path: str, content: type[Content], doing: str) -> Content:
        answer = self._api.ask("GET", path, doing=doing, repeatable=True)
        return read(data_of(content), answer, cloud="lambda", doing=doing).data

    def _post(
        self,
        path: str,
        body: dict[str, Any],
        content: type[Content],
        doing: str,
        *,
        launch: bool = False,
        repeatable: bool = False,
    ) -> Content:
        lanes = (self._launches,) if launch else ()
        answer = self._api.ask("POST", path, doing=doing, repeatable=repeatable, body=body, lanes=lanes)
        return read(data_of(content), answer, cloud="lambda", doing=doing).data

    def _delete(self, path: str, doing: str) -> None:
        try:
            self._api.ask("DELETE", path, doing=doing, repeatable=True)
        except NotFoundError:
            return


def _offers(listed: ListedType) -> Iterator[Offer]:
    kind, memory_gib = listed.instance_type, _gpu_memory_gib(listed.instance_type)
    if kind.specs.gpus < 1 or memory_gib is None:
        return
    regions = [(region.name, True) for region in listed.regions_with_capacity_available] or [("any", False)]
    for region, available in regions:
        yield Offer(
            instance_type=kind.name,
            region=region,
            spot=False,
            price_usd_per_h=kind.price_cents_per_hour / 100,
            gpu_name=kind.gpu_description.split(" (")[0],
            gpu_count=kind.specs.gpus,
            gpu_memory_gib=memory_gib,
            memory_gib=float(kind.specs.memory_gib),
            disk_gib=float(kind.specs.storage_gib),
            available=available,
        )


def _gpu_memory_gib(kind: InstanceType) -> float | None:
    """Return the memory in the description, as in ``H100 (80 GB SXM5)``; its GB are the GiB of the data sheets."""
    found = MEMORY.search(kind.gpu_description) or MEMORY.search(kind.description)
    return float(found.group(1)) if found else None


def _unsure(doing: str, err: UnreadableAnswerError) -> CloudUnavailableError:
    return CloudUnavailableError(
        f"lambda: unknown whether it did {doing}: the answer cannot be read",
        details=f"{err.message} ({err.details})",
        resolution="run `make sweep`: it lists the machine if it exists",
        status=err.status,
    )
