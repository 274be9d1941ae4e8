"""What rented machines have in common on all clouds: attributes, life, and what counts as a change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, get_args

from runner.cloud_api.models import Offer, Trust
from runner.errors import NONE_NOW, NOTHING_RENTED, REFUSALS, NoCapacityError, NotFoundError
from runner.provider.candidates import ANYWHERE, CandidateInput, Rented, rent
from runner.provider.rental import RentalProvider
from runner.provider.resource import Ctx, ProblemError, TerraformResource
from runner.provider.schema import BOOL, NUMBER, STRING, Attr, Values, object_of
from runner.provider.waiting import DESTROY, Sighting, wait_until_gone, wait_until_up
from runner.provider.wire import UNKNOWN

LONGEST_NAME = 64
CANDIDATE_ATTRS = {
    "instance_type": Attr(STRING, "The cloud's name of the kind of machine.", required=True),
    "region": Attr(STRING, "Where.", required=True),
    "spot": Attr(BOOL, "Whether the cloud may reclaim it.", required=True),
    "max_price_usd_per_h": Attr(NUMBER, "Ceiling of the price, in US dollars an hour.", required=True),
    "trust": Attr(STRING, "Whose machine: secure (the cloud's own), or community.", optional=True),
    "expires_at": Attr(STRING, "When its run has to be over, UTC, where that is not the run's own end.", optional=True),
}
INPUTS = {
    "name": Attr(STRING, "Unique name of the machine; by it a machine is found again.", required=True, replace=True),
    "candidates": Attr(
        items=CANDIDATE_ATTRS,
        doc="Machines to try, in this order. A later change matters only if it leaves out the one that was rented.",
        required=True,
    ),
    "create_timeout_s": Attr(NUMBER, "Seconds from launch until sshd answers.", default=1500),
    "delete_timeout_s": Attr(NUMBER, "Seconds from the request to terminate it until it is gone.", default=600),
}
OUTPUTS = {
    "id": Attr(STRING, "The cloud's id of the machine.", computed=True),
    "status": Attr(STRING, "State of the machine, in the cloud's words.", computed=True),
    "address": Attr(STRING, "Its public address.", computed=True),
    "instance_type": Attr(STRING, "The candidate's kind that was rented.", computed=True),
    "region": Attr(STRING, "Where the machine is.", computed=True),
    "spot": Attr(BOOL, "Whether the cloud may reclaim it.", computed=True),
    "trust": Attr(STRING, "Whose machine it is: secure or community.", computed=True),
    "price_usd_per_h": Attr(NUMBER, "What it costs, in US dollars an hour.", computed=True),
    "ssh": Attr(object_of(host=STRING, port=NUMBER, user=STRING), "Where sshd answers.", computed=True),
}


class RentedMachine(TerraformResource[RentalProvider]):
    """A rented machine; a cloud's class says how it is launched, seen and ended."""

    cloud: ClassVar[str]

    @abstractmethod
    def offers(self, planned: Values) -> list[Offer]:
        """Return the catalogue with its prices."""

    @abstractmethod
    def launch(self, ctx: Ctx, planned: Values, candidate: CandidateInput, price_usd_per_h: float) -> str:
        """Rent a candidate and return the machine's id; sent once."""

    @abstractmethod
    def find(self, name: str) -> list[str]:
        """Return the ids of all machines of this name that are not on their way out."""

    @abstractmethod
    def look(self, machine_id: str) -> Sighting:
        """Return how a machine stands; ``NotFoundError`` if there is none."""

    @abstractmethod
    def terminate(self, machine_id: str) -> None:
        """Ask for its end; one that is gone is fine."""

    @abstractmethod
    def user(self, state: Values) -> str:
        """Return the user to log in as."""

    @property
    def bad_request_is_final(self) -> bool:
        """Whether status 400 speaks of the request alone, never of a lack of machines."""
        return True

    def validate(self, ctx: Ctx, config: Values) -> None:
        """Report the faults of the attributes that all machines have."""
        name, candidates = config["name"], config["candidates"]
        if isinstance(name, str) and not 1 <= len(name) <= LONGEST_NAME:
            ctx.error(f"name must have 1 to {LONGEST_NAME} characters", f"It has {len(name)}.", "name")
        if isinstance(candidates, list) and not candidates:
            ctx.error("candidates must name at least one machine", "It is empty.", "candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                self._check_trust(ctx, config, candidate)
        for timeout in ("create_timeout_s", "delete_timeout_s"):
            value = config[timeout]
            if value is not None and value is not UNKNOWN and value <= 0:
                ctx.error(f"{timeout} must be above 0", f"It is {value}.", timeout)

    def takes_community(self, config: Values) -> bool:
        """Return whether a candidate may be a community machine."""
        return False

    def _check_trust(self, ctx: Ctx, config: Values, candidate: Values) -> None:
        """Refuse a community machine where none may be rented."""
        trust = candidate["trust"]
        if trust not in (None, UNKNOWN, *get_args(Trust)):
            ctx.error("a candidate's trust must be secure or community", f"It is {trust}.", "candidates")
        elif trust == "community" and not self.takes_community(config):
            ctx.error(
                f"{self.cloud}: no community machine may be rented here",
                f"{candidate['instance_type']} has trust = community.",
                "candidates",
            )

    def plan(self, prior: Values | None, planned: Values) -> Values:
        """Let another login user show at once; nothing else that is computed changes."""
        if prior is None or not prior["ssh"]:
            return planned
        return {**planned, "ssh": {**prior["ssh"], "user": self.user(planned)}}

    def replaced_by(self, prior: Values, planned: Values) -> list[str]:
        """Return the changes that need another machine; values that an imported one lacks are no change."""
        found = [
            name
            for name in super().replaced_by(prior, planned)
            if prior[name] is not None or not (self.attrs[name].required or self.attrs[name].default is not None)
        ]
        if planned["candidates"] is UNKNOWN or any(_is_like(prior, c) for c in planned["candidates"]):
            return found
        return sorted([*found, "candidates"])

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Rent a candidate and wait for sshd; from the cloud's yes on the machine is in the state."""
        candidates = [CandidateInput.read(values) for values in planned["candidates"]]
        with self.provider.interruptible(ctx.stop):
            with _a_no_is_said():
                rented = rent(ctx, _Counter(self, ctx, planned), planned["name"], candidates, self.provider.world)
            state = {**planned, **_first_state(rented)}
            ctx.save(state)

            def seen(sighting: Sighting) -> None:
                state.update(self._values(sighting, state))
                ctx.save(state)
                _check_trust(self.cloud, rented, sighting)
                _check_price(self.cloud, rented, sighting)

            wait_until_up(
                ctx,
                self,
                rented.machine_id,
                self.provider.world,
                float(planned["create_timeout_s"]),
                sshd_answers=self.provider.sshd_answers,
                seen=seen,
            )
        return state

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Return how it stands; only what the cloud calls gone, or does not know, is gone."""
        try:
            sighting = self.look(state["id"])
        except NotFoundError:
            return None
        if sighting.phase == "gone":
            return None
        if sighting.phase in ("stopped", "ending"):
            ctx.warn(
                f"{self.cloud}: {state['id']} is {sighting.status}",
                "It was not Terraform that did this. A stopped machine cannot be worked on, and its disk may bill.",
            )
        return {**state, **self._values(sighting, state)}

    def update(self, ctx: Ctx, prior: Values, planned: Values) -> Values:
        """Take over what concerns Terraform alone: timeouts, candidates not needed any more, the login user."""
        return planned

    def delete(self, ctx: Ctx, state: Values) -> None:
        """End it and see it gone."""
        timeout_s = float(state["delete_timeout_s"] or self.attrs["delete_timeout_s"].default)
        wait_until_gone(ctx, self, state["id"], self.provider.world, timeout_s)

    def import_by_id(self, ctx: Ctx, resource_id: str) -> Values:
        """Return the state of a machine that exists."""
        try:
            sighting = self.look(resource_id)
        except NotFoundError as err:
            raise ProblemError(
                f"{self.cloud}: there is no machine {resource_id}",
                resolution="run `terraform import` with an id that `make sweep` lists",
            ) from err
        if sighting.phase in ("ending", "gone"):
            raise ProblemError(
                f"{self.cloud}: {resource_id} is {sighting.status}",
                resolution="run `terraform import` with the id of a machine that runs: see `make sweep`",
            )
        state: Values = {"id": resource_id, "name": sighting.name, "spot": False, **self.imported(resource_id)}
        return {**state, **self._values(sighting, state)}

    def imported(self, machine_id: str) -> Values:
        """Return the other inputs that the cloud reports for a machine."""
        return {}

    def _values(self, sighting: Sighting, before: Values) -> Values:
        """Return the computed values; what the cloud leaves open at the moment stays as it was."""
        known: Values = {"status": sighting.status}
        if sighting.instance_type:
            known["instance_type"] = sighting.instance_type
        if sighting.region:
            known["region"] = sighting.region
        if sighting.trust:
            known["trust"] = sighting.trust
        if sighting.price_usd_per_h:
            known["price_usd_per_h"] = sighting.price_usd_per_h
        if sighting.ssh:
            host, port = sighting.ssh
            known |= {"address": host, "ssh": {"host": host, "port": port, "user": self.user(before)}}
        return known


@contextmanager
def _a_no_is_said() -> Iterator[None]:
    """Let a refusal that leaves nothing open say so: the runner reads Terraform's words, and looks no longer for it."""
    try:
        yield
    except REFUSALS as err:
        no = NONE_NOW if isinstance(err, NoCapacityError) else NOTHING_RENTED
        err.details = "\n".join(filter(None, (err.details, no)))
        raise


class _Counter:
    """One machine's view of its cloud while it is rented."""

    def __init__(self, machine: RentedMachine, ctx: Ctx, planned: Values) -> None:
        self._machine, self._ctx, self._planned = machine, ctx, planned
        self.cloud, self.bad_request_is_final = machine.cloud, machine.bad_request_is_final

    def offers(self) -> list[Offer]:
        return self._machine.offers(self._planned)

    def launch(self, candidate: CandidateInput, price_usd_per_h: float) -> str:
        return self._machine.launch(self._ctx, self._planned, candidate, price_usd_per_h)

    def find(self) -> list[str]:
        return self._machine.find(self._planned["name"])


def _first_state(rented: Rented) -> Values:
    return {
        "id": rented.machine_id,
        "status": "launched",
        "address": None,
        "instance_type": rented.candidate.instance_type,
        "region": rented.candidate.region,
        "spot": rented.candidate.spot,
        "trust": rented.candidate.trust,
        "price_usd_per_h": rented.price_usd_per_h,
        "ssh": None,
    }


def _check_trust(cloud: str, rented: Rented, sighting: Sighting) -> None:
    """Refuse a community machine that was not asked for.

    Raises:
        ProblemError: If the cloud says that it is one, and the candidate is not.
    """
    if sighting.trust == "community" and rented.candidate.trust != "community":
        raise ProblemError(
            f"{cloud}: {rented.machine_id} is a community machine, and none was asked for",
            details="It is kept in the state as tainted.",
            resolution=DESTROY,
        )


def _check_price(cloud: str, rented: Rented, sighting: Sighting) -> None:
    """Refuse a machine that costs more than was agreed to.

    Raises:
        ProblemError: If the cloud reports another price than its catalogue did, above the ceiling.
    """
    reported, ceiling = sighting.price_usd_per_h, rented.candidate.max_price_usd_per_h
    if reported is not None and reported > ceiling:
        raise ProblemError(
            f"{cloud}: {rented.machine_id} costs ${reported:g}/h, more than ${ceiling:g}/h",
            details=f"The catalogue said ${rented.price_usd_per_h:g}/h. It is kept in the state as tainted.",
            resolution=DESTROY,
        )


def _is_like(state: Values, candidate: dict[str, Any]) -> bool:
    """Return whether the rented machine is what a candidate asks for; what is not known yet may be."""
    if (candidate["trust"] or "secure") not in (state["trust"] or "secure", UNKNOWN):
        return False
    return all(
        candidate[part] in (state[part], UNKNOWN, ANYWHERE if part == "region" else UNKNOWN)
        for part in ("instance_type", "region", "spot")
    )
