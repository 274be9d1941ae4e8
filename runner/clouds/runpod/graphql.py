"""RunPod's GraphQL API: only what REST v2 lacks. Announced to end in early 2027; nothing else may come to need it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from runner.cloud_api.answers import (
    Answer,
    Answered,
    Envelope,
    mismatch,
    read,
    read_entry,
    read_some,
    refuse_part,
    unreadable,
)
from runner.cloud_api.http import Api
from runner.clouds.runpod.messages import CloudType, CreatePod, RentedPod, Text
from runner.clouds.runpod.refusals import graphql_fault
from runner.errors import BadRequestError, CloudUnavailableError, NoCapacityError, UnreadableAnswerError

ENDPOINT = "https://api.runpod.io/graphql"

RENT_SPOT = """mutation rent($input: PodRentInterruptableInput!) {
  podRentInterruptable(input: $input) { id costPerHr }
}"""
CREATE = """mutation create($input: PodFindAndDeployOnDemandInput!) {
  podFindAndDeployOnDemand(input: $input) { id costPerHr }
}"""
MINIMUM_BIDS = """query bids($input: GpuLowestPriceInput) {
  gpuTypes { id lowestPrice(input: $input) { minimumBidPrice stockStatus } }
}"""
BALANCE = "query balance { myself { clientBalance } }"

Content = TypeVar("Content", bound=Envelope)


class Fault(Answered):
    """One thing that went wrong."""

    message: str = ""
    extensions: dict[str, Any] | None = None

    @property
    def code(self) -> str | None:
        """Return the fault's code."""
        code = (self.extensions or {}).get("code")
        return code if isinstance(code, str) else None


class Result(Envelope):
    """The envelope of every answer; status 200 says nothing."""

    data: dict[str, Any] | None = None
    errors: list[Fault] | None = None


class LowestPrice(Answered):
    """What the cheapest machine with a GPU costs as spot, in US dollars an hour for one GPU."""

    minimum_bid_price: float | None = Field(default=None, alias="minimumBidPrice")
    stock_status: str | None = Field(default=None, alias="stockStatus")


class Bid(Answered):
    """A GPU and the least bid for it."""

    id: Text
    lowest_price: LowestPrice | None = Field(default=None, alias="lowestPrice")


class Bids(Envelope):
    """Answer to a question for bids."""

    gpu_types: list[Any] = Field(alias="gpuTypes")


class Myself(Answered):
    """The account."""

    client_balance: float = Field(alias="clientBalance")


class Balance(Envelope):
    """Answer to a question for the balance."""

    myself: Myself


class RunPodGraphql:
    """The four calls that need GraphQL."""

    def __init__(self, api: Api) -> None:
        """Take the account."""
        self._api = api

    def rent_spot(self, pod: CreatePod, *, bid_usd_per_gpu_h: float, terminate_at: datetime | None) -> RentedPod:
        """Rent a pod that RunPod may reclaim (``podRentInterruptable``; announced end: early 2027)."""
        details = pod_input(pod, terminate_at) | {"bidPerGpu": bid_usd_per_gpu_h}
        return self._rent(RENT_SPOT, "podRentInterruptable", details, f"rent spot {pod.gpu_id}")

    def create_until(self, pod: CreatePod, *, terminate_at: datetime) -> RentedPod:
        """Rent a pod that RunPod ends by itself (``podFindAndDeployOnDemand``; announced end: early 2027)."""
        return self._rent(CREATE, "podFindAndDeployOnDemand", pod_input(pod, terminate_at), f"rent {pod.gpu_id}")

    def minimum_bids(self, *, gpu_count: int, cloud: CloudType) -> list[Bid]:
        """Return the least bid for each GPU (``gpuTypes``; announced end: early 2027)."""
        details = {"input": {"gpuCount": gpu_count, "secureCloud": cloud == "SECURE"}}
        doing = "read the spot prices"
        entries = self._query(MINIMUM_BIDS, details, Bids, doing).gpu_types
        return read_some(entries, partial(read_entry, Bid, cloud="runpod", doing=doing))

    def balance_usd(self) -> float:
        """Return the prepaid money that is left (``myself``; announced end: early 2027)."""
        return self._query(BALANCE, {}, Balance, "read the balance").myself.client_balance

    def _rent(self, mutation: str, field: str, details: dict[str, Any], doing: str) -> RentedPod:
        answer = self._post(mutation, {"input": details}, doing, repeatable=False)
        try:
            result = read(Result, answer, cloud="runpod", doing=doing)
        except UnreadableAnswerError as err:
            raise unsure(doing, err) from err
        found = (result.data or {}).get(field)
        if found is not None:  # also beside errors: the pod is there, whatever else failed
            try:
                return RentedPod.model_validate(found)
            except ValidationError as err:
                raise unsure(doing, unreadable("runpod", doing, f"{field} has no id", answer)) from err
        if result.errors:
            raise graphql_fault(result.errors[0].message, result.errors[0].code, doing)
        if result.data is None or field not in result.data:
            raise unsure(doing, unreadable("runpod", doing, f"there is no {field}", answer))
        raise NoCapacityError(
            f"runpod: cannot {doing}: no machine has it now (GraphQL answers null)",
            resolution="try another compute.instance_types or compute.regions, or later",
            status=answer.status,
        )

    def _query(self, query: str, variables: dict[str, Any], content: type[Content], doing: str) -> Content:
        answer = self._post(query, variables, doing, repeatable=True)
        result = read(Result, answer, cloud="runpod", doing=doing)
        if result.errors:
            raise graphql_fault(result.errors[0].message, result.errors[0].code, doing)
        try:
            found = content.model_validate(result.data)
        except ValidationError as err:
            raise unreadable("runpod", doing, mismatch(err, "data"), answer) from err
        refuse_part(found, answer, cloud="runpod", doing=doing)
        return found

    def _post(self, query: str, variables: dict[str, Any], doing: str, *, repeatable: bool) -> Answer:
        body = {"query": query, "variables": variables}
        return self._api.ask("POST", "", doing=doing, repeatable=repeatable, body=body)


def pod_input(pod: CreatePod, terminate_at: datetime | None) -> dict[str, Any]:
    """Return a pod as GraphQL's ``input``.

    Raises:
        BadRequestError: If it names several data centres, for GraphQL takes one.
    """
    if len(pod.data_center_ids) > 1:
        raise BadRequestError(
            f"runpod: GraphQL takes one data centre, not {', '.join(pod.data_center_ids)}",
            resolution="give one data centre for a spot pod or a pod with terminate_at",
        )
    found = pod.graphql_input()
    if terminate_at is not None:
        found["terminateAfter"] = terminate_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def unsure(doing: str, err: UnreadableAnswerError) -> CloudUnavailableError:
    """Return the error for a rental whose answer cannot be read: the pod may exist."""
    return CloudUnavailableError(
        f"runpod: unknown whether it did {doing}: the answer cannot be read",
        details=f"{err.message} ({err.details})",
        resolution="run `make sweep`: it lists the pod if it exists",
        status=err.status,
    )
