"""RunPod: REST v2 for all it can do, GraphQL for spot and for an end that the server keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from runner.cloud_api.answers import Answered, read, read_entry, read_some, refuse_part, unreadable
from runner.cloud_api.credentials import Environ, secret
from runner.cloud_api.http import Api
from runner.cloud_api.listings import gather, is_named, judged
from runner.cloud_api.models import Account, Listing, Offer, Quota, Resource, Trust, TrustWanted
from runner.cloud_api.pacing import Timer, shared_pace
from runner.clouds.runpod.graphql import ENDPOINT as GRAPHQL_ENDPOINT
from runner.clouds.runpod.graphql import RunPodGraphql, unsure
from runner.clouds.runpod.listing import LIST_PODS, LIST_VOLUMES, pod_in, volume_in
from runner.clouds.runpod.messages import (
    CLOUD_TYPES,
    NO_STOCK,
    CloudType,
    CreatePod,
    Gpu,
    GpuList,
    NetworkVolumeList,
    Page,
    Pod,
    PodBill,
    PodBillList,
    PodList,
    RentedPod,
)
from runner.clouds.runpod.refusals import graphql_refusal, runpod_refusal
from runner.errors import (
    AccessDeniedError,
    BadRequestError,
    CloudUnavailableError,
    NotFoundError,
    UnreadableAnswerError,
)

ENDPOINT = "https://api.runpod.io/v2"
SLICE = re.compile(r"\bMIG \d+g\.\d+gb\b", re.IGNORECASE)
SLICE_SHARE = 0.963
"""Of the memory in a slice's name, what it has: 23.12 of 24 GiB, the least of NVIDIA's profiles of its GPUs."""
NO_GRAPHQL = (AccessDeniedError, BadRequestError, CloudUnavailableError, NotFoundError, UnreadableAnswerError)
"""Without GraphQL there is no spot and no balance; all the rest works."""

Content = TypeVar("Content", bound=Answered)


def open_runpod(environ: Environ, *, timer: Timer) -> RunPodCloud:
    """Return the account on RunPod that the environment names; nothing is asked yet.

    Raises:
        AccountError: If it names none, or its key cannot be read.
    """
    return RunPodCloud(
        secret(environ, "RUNPOD_API_KEY", "runpod"),
        endpoint=endpoint_in(environ),
        graphql_endpoint=environ.get("DOUSE_RUNPOD_GRAPHQL_ENDPOINT") or GRAPHQL_ENDPOINT,
        timer=timer,
    )


def endpoint_in(environ: Environ) -> str:
    """Return the address of the REST API: RunPod's own, unless a variable names another."""
    return environ.get("DOUSE_RUNPOD_ENDPOINT") or ENDPOINT


class RunPodCloud:
    """One account on RunPod."""

    name = "runpod"

    def __init__(
        self,
        api_key: str,
        *,
        endpoint: str = ENDPOINT,
        graphql_endpoint: str = GRAPHQL_ENDPOINT,
        timer: Timer,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the account's key; nothing is asked yet.

        Args:
            api_key: Key of the account.
            endpoint: Address of REST v2 up to its version.
            graphql_endpoint: Address of the GraphQL API.
            timer: The clock and the way to wait.
            transport: A stand-in for the world's network.
        """
        pace = shared_pace(timer.world, "runpod", api_key, endpoint, 0.0)  # the answers' headers say when to wait
        self._label = f"key …{api_key[-4:]}"
        self._api = Api(
            "runpod", endpoint, api_key, refusal=runpod_refusal, pace=pace, timer=timer, transport=transport
        )
        self._graphql_api = Api(
            "runpod", graphql_endpoint, api_key, refusal=graphql_refusal, pace=pace, timer=timer, transport=transport
        )
        self._graphql = RunPodGraphql(self._graphql_api)

    def __repr__(self) -> str:
        """Return the cloud and the address, never the key."""
        return f"RunPodCloud({self._api!r})"

    def close(self) -> None:
        """Let the connections go."""
        self._api.close()
        self._graphql_api.close()

    @property
    def clock_off(self) -> timedelta:
        """How far the cloud's clock is ahead of this computer's, as far as its answers have said."""
        return self._api.clock_off or timedelta()

    def fingerprint(self, salt: str) -> str:
        """Return the key's; the API has no word for the account."""
        return self._api.fingerprint(salt)

    def account(self) -> Account:
        """Check the key, and return the balance as long as there is GraphQL."""
        self._get("/pods", PodList, LIST_PODS)
        try:
            return Account("runpod", self._label, self._graphql.balance_usd())
        except NO_GRAPHQL:
            return Account("runpod", self._label)

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        """Return every available GPU as one pod, cheapest first.

        On demand, a GPU comes once with region ``any`` and once for each data centre that lists it. As spot it comes
        with region ``any`` and the least bid as its price; without GraphQL there are no spot offers.

        Args:
            trust: ``any`` has the machines of the Community Cloud too, at prices of their own.
        """
        found: list[Offer] = []
        kinds: tuple[Trust, ...] = ("secure", "community") if trust == "any" else ("secure",)
        for kind in kinds:
            gpus = [gpu for gpu in self.gpus(CLOUD_TYPES[kind]) if gpu.price_usd_per_h(kind)]
            found += [offer for gpu in gpus for offer in _offers(gpu, kind)]
            found += self._spot_offers({gpu.id: gpu for gpu in gpus}, kind)
        return sorted(found, key=lambda offer: (offer.price_usd_per_h, offer.instance_type, offer.spot, offer.region))

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Return nothing: RunPod's API does not report what an account may have."""
        return {}

    def listing(self) -> Listing:
        """Return all Douse pods and network volumes; pods gone for good are left out."""
        found = gather((self._our_pods, self._our_volumes), one_server=True)
        return replace(found, clock_off=self.clock_off)

    def end(self, resource: Resource) -> None:
        """Ask the cloud to end one resource; one that is gone already is fine.

        Raises:
            BadRequestError: If RunPod has no such kind of thing, or the thing is in use.
        """
        if resource.kind == "instance":
            self.delete_pod(resource.id)
        elif resource.kind == "volume":
            self.delete_network_volume(resource.id)
        else:
            raise BadRequestError(
                f"runpod: cannot terminate {resource.kind} {resource.id}: unknown kind of resource",
                resolution="delete it in the console: docs/clouds/runpod.md",
            )

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        """Do nothing: terminateAfter cannot be moved in a living pod, and holds the hard end."""

    def create_pod(self, pod: CreatePod) -> RentedPod:
        """Rent a pod on demand; never sent twice, unless RunPod refused it for too many requests.

        Raises:
            NoCapacityError: If RunPod's words say that it cannot be had there now.
            BadRequestError: If it is refused otherwise. With ``status`` 400 that may be a lack of machines all the
                same: try the next candidate, and take the last one's words for the truth.
            AccessDeniedError: If the key may not use this GPU or data centre.
            AccountError: If the key or the balance forbids it.
            CloudUnavailableError: If nobody knows whether the pod exists: look for its name in ``pods()``.
        """
        doing = f"rent {pod.gpu_id}"
        try:
            answer = self._api.ask("POST", "/pods", doing=doing, repeatable=False, body=pod.body())
            return read(RentedPod, answer, cloud="runpod", doing=doing)
        except NotFoundError as err:
            raise BadRequestError(
                err.message,
                details=err.details,
                resolution="check the names of the volume, the registry and the data centre",
                code=err.code,
                status=err.status,
            ) from err
        except UnreadableAnswerError as err:
            raise unsure(doing, err) from err

    def rent_spot(self, pod: CreatePod, *, bid_usd_per_gpu_h: float, terminate_at: datetime | None = None) -> RentedPod:
        """Rent a pod that RunPod may reclaim; the errors are those of ``create_pod``.

        Uses GraphQL (``podRentInterruptable``), whose announced end is early 2027.

        Args:
            pod: The pod; one data centre at most.
            bid_usd_per_gpu_h: US dollars an hour for one GPU.
            terminate_at: When RunPod ends the pod by itself.
        """
        return self._graphql.rent_spot(pod, bid_usd_per_gpu_h=bid_usd_per_gpu_h, terminate_at=terminate_at)

    def create_until(self, pod: CreatePod, *, terminate_at: datetime) -> RentedPod:
        """Rent a pod on demand that RunPod ends by itself; the errors are those of ``create_pod``.

        Uses GraphQL (``podFindAndDeployOnDemand``), whose announced end is early 2027.

        Args:
            pod: The pod; one data centre at most.
            terminate_at: When RunPod ends the pod by itself.
        """
        return self._graphql.create_until(pod, terminate_at=terminate_at)

    def pod(self, pod_id: str) -> Pod:
        """Return a pod.

        Raises:
            NotFoundError: If there is none (any more).
        """
        return self._get(f"/pods/{quote(pod_id, safe='')}", Pod, f"look at pod {pod_id}")

    def pods_named(self, name: str) -> list[str]:
        """Return the ids of the pods of this name that are not gone for good.

        Raises:
            UnreadableAnswerError: If none was found, and a pod's name cannot be read.
        """
        found = judged(
            self._entries("/pods", PodList, LIST_PODS),
            partial(pod_in, is_wanted=is_named(name)),
        )
        return [pod.id for pod in found.resources or found.whole()]

    def delete_pod(self, pod_id: str) -> None:
        """Ask for the end of a pod and of its own disks; one that is gone is fine. Does not wait."""
        self._delete(f"/pods/{quote(pod_id, safe='')}", f"delete pod {pod_id}")

    def gpus(self, cloud_type: CloudType = "SECURE", gpu_count: int = 1) -> list[Gpu]:
        """Return the catalogue with what can be had for pods of so many GPUs."""
        query = {"include": "AVAILABILITY", "product": "POD", "count": gpu_count, "cloud": cloud_type}
        doing = "list the GPUs"
        entries = self._entries("/catalog/gpus", GpuList, doing, query)
        return read_some(entries, partial(read_entry, Gpu, cloud="runpod", doing=doing))

    def minimum_bids(self, cloud_type: CloudType = "SECURE", gpu_count: int = 1) -> dict[str, float]:
        """Return the least bid in US dollars an hour for one GPU, by the GPU's id, of those that can be had.

        Uses GraphQL (``gpuTypes``), whose announced end is early 2027.
        """
        bids = self._graphql.minimum_bids(gpu_count=gpu_count, cloud=cloud_type)
        return {
            bid.id: bid.lowest_price.minimum_bid_price
            for bid in bids
            if bid.lowest_price is not None and bid.lowest_price.minimum_bid_price and bid.lowest_price.stock_status
        }

    def delete_network_volume(self, volume_id: str) -> None:
        """Remove a network volume and all it holds; one that is gone is fine."""
        self._delete(f"/network-volumes/{quote(volume_id, safe='')}", f"delete network volume {volume_id}")

    def bills(self, pod_id: str, since: datetime, until: datetime) -> list[PodBill]:
        """Return the hourly cost of a pod; RunPod widens the span to whole hours."""
        query = {
            "podId": pod_id,
            "startTime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "endTime": until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "bucketSize": "hour",
        }
        doing = f"read the bill of pod {pod_id}"
        records = self._entries("/billing/pods", PodBillList, doing, query)
        return [read_entry(PodBill, record, cloud="runpod", doing=doing) for record in records]

    def _our_pods(self) -> Listing:
        return judged(self._entries("/pods", PodList, LIST_PODS), pod_in)

    def _our_volumes(self) -> Listing:
        return judged(self._entries("/network-volumes", NetworkVolumeList, LIST_VOLUMES), volume_in)

    def _spot_offers(self, gpus: dict[str, Gpu], trust: Trust) -> Iterator[Offer]:
        try:
            bids = self.minimum_bids(CLOUD_TYPES[trust])
        except NO_GRAPHQL:
            return
        for gpu_id, price_usd_per_h in bids.items():
            if gpu_id in gpus:
                offer = _offer(gpus[gpu_id], "any", trust, price_usd_per_h=price_usd_per_h, available=True)
                yield replace(offer, spot=True)

    def _get(self, path: str, content: type[Content], doing: str) -> Content:
        answer = self._api.ask("GET", path, doing=doing, repeatable=True)
        return read(content, answer, cloud="runpod", doing=doing)

    def _entries(
        self, path: str, list_of: type[Page], doing: str, query: Mapping[str, Any] | None = None
    ) -> Iterator[Any]:
        """Yield the entries of a list, page after page, until a page says that it is the last.

        Raises:
            UnreadableAnswerError: If a page cannot be read, says neither that it is the last nor where the next one
                begins, or leads back to one before it.
        """
        asked = dict(query or {})
        seen: set[str] = set()
        while True:
            answer = self._api.ask("GET", path, doing=doing, repeatable=True, params=asked)
            page = read(list_of, answer, cloud="runpod", doing=doing, may_be_part=True)
            yield from page.entries
            refuse_part(page, answer, cloud="runpod", doing=doing)
            try:
                following = page.following
            except ValueError as err:
                reason = "pagination says neither where the next page is nor that there is none"
                raise unreadable("runpod", doing, reason, answer) from err
            if following is None:
                return
            if following in seen:
                raise unreadable("runpod", doing, "its pages lead in a circle", answer)
            seen.add(following)
            asked["cursor"] = following

    def _delete(self, path: str, doing: str) -> None:
        try:
            self._api.ask("DELETE", path, doing=doing, repeatable=True)
        except NotFoundError:
            return


def _offers(gpu: Gpu, trust: Trust) -> Iterator[Offer]:
    places = [("any", gpu.availability), *((place.id, place.availability) for place in gpu.data_centers or ())]
    for region, stock in places:
        available = None if stock is None else stock != NO_STOCK
        yield _offer(gpu, region, trust, price_usd_per_h=gpu.price_usd_per_h(trust), available=available)


def _usable_gib(gpu: Gpu) -> float:
    """Return the memory of a GPU in GiB; a slice has less than its name says, and a run that fills it fails."""
    return round(gpu.memory * SLICE_SHARE, 1) if SLICE.search(gpu.id) else float(gpu.memory)


def _offer(gpu: Gpu, region: str, trust: Trust, *, price_usd_per_h: float, available: bool | None) -> Offer:
    return Offer(
        instance_type=gpu.id,
        region=region,
        spot=False,
        price_usd_per_h=price_usd_per_h,
        gpu_name=gpu.name,
        gpu_count=1,
        gpu_memory_gib=_usable_gib(gpu),
        available=available,
        trust=trust,
    )
