"""A machine on Lambda Cloud."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from runner.cloud_api.labels import EXPIRES_TAG, leased_name, resource_name, run_of, without_lease
from runner.cloud_api.models import Offer
from runner.clouds.lambda_cloud.client import lambda_client
from runner.clouds.lambda_cloud.tags import LONGEST_VALUE, is_tag_key
from runner.errors import NoCapacityError
from runner.provider.candidates import ANYWHERE, CandidateInput
from runner.provider.machine import INPUTS, OUTPUTS, RentedMachine
from runner.provider.rental import refused_by_us
from runner.provider.resource import Ctx
from runner.provider.schema import NUMBER, STRING, Attr, Attrs, Values, map_of
from runner.provider.waiting import Phase, Sighting

PHASES: dict[str, Phase] = {
    "booting": "pending",
    "unhealthy": "pending",  # may be a passing phase of the boot
    "active": "up",
    "terminating": "ending",
    "terminated": "gone",
    "preempted": "gone",
}


class LambdaInstance(RentedMachine):
    """A machine on Lambda Cloud, created when sshd answers on it. It bills from launch until it is destroyed."""

    cloud = "lambda"
    attrs: ClassVar[Attrs] = {
        **INPUTS,
        "ssh_key_name": Attr(STRING, "Name of the registered key that may log in.", required=True, replace=True),
        "user_data_wo": Attr(STRING, "Cloud-config for the first boot; kept nowhere.", optional=True, write_only=True),
        "user_data_version": Attr(NUMBER, "Change it to have the user data used again.", optional=True, replace=True),
        "tags": Attr(map_of(STRING), "Tags; Lambda cannot change them later.", optional=True, replace=True),
        "first_lease_s": Attr(
            NUMBER,
            "Seconds from the launch to the end of the lease that a run's machine has in its name; none without it.",
            optional=True,
        ),
        "ssh_user": Attr(STRING, "User to log in as.", default="ubuntu"),
        **OUTPUTS,
    }

    def validate(self, ctx: Ctx, config: Values) -> None:
        """Report what Lambda would refuse, before anything is rented."""
        super().validate(ctx, config)
        for candidate in config["candidates"] if isinstance(config["candidates"], list) else ():
            if isinstance(candidate, dict) and candidate["spot"] is True:
                ctx.error("Lambda has no spot machines", f"{candidate['instance_type']} has spot = true.", "candidates")
        for key, value in (config["tags"] or {}).items():
            if not is_tag_key(key):
                ctx.error(f"tags: {key} is no tag of Lambda's", "a-z, 0-9, - and : with a letter first.", "tags")
            if isinstance(value, str) and len(value) > LONGEST_VALUE:
                ctx.error(
                    f"tags: the value of {key} is too long",
                    f"{len(value)} characters, at most {LONGEST_VALUE}.",
                    "tags",
                )

    def offers(self, planned: Values) -> list[Offer]:
        """Return Lambda's catalogue."""
        return lambda_client(self.provider).offers()

    def launch(self, ctx: Ctx, planned: Values, candidate: CandidateInput, price_usd_per_h: float) -> str:
        """Launch a machine; its end is marked by Lambda's clock."""
        from runner.clouds.lambda_cloud.messages import LaunchRequest

        if candidate.region == ANYWHERE:
            raise NoCapacityError(
                f"lambda: no region has a {candidate.instance_type} now", resolution="name other machines, or try later"
            )
        candidate = candidate.by_clock(lambda_client(self.provider).clock_off)
        with refused_by_us(self.cloud):
            request = LaunchRequest(
                region_name=candidate.region,
                instance_type_name=candidate.instance_type,
                ssh_key_name=planned["ssh_key_name"],
                name=self._first_name(planned),
                user_data=ctx.config.get("user_data_wo"),
                tags=candidate.marked(planned["tags"], EXPIRES_TAG),
            )
        return lambda_client(self.provider).launch(request)

    def _first_name(self, planned: Values) -> str:
        """Return the name to launch with: it says when a sweep may terminate the machine, if nobody moves that on."""
        name, tags, lease_s = planned["name"], planned["tags"] or {}, planned["first_lease_s"]
        run_id = run_of(name, tags)
        if lease_s is None or run_id is None or name != resource_name(run_id):
            return str(name)
        now = self.provider.world.now() + lambda_client(self.provider).clock_off
        return leased_name(run_id, now + timedelta(seconds=lease_s)) or str(name)

    def find(self, name: str) -> list[str]:
        """Return the machines of this name."""
        return lambda_client(self.provider).machines_named(name)

    def look(self, machine_id: str) -> Sighting:
        """Return how it stands."""
        found = lambda_client(self.provider).instance(machine_id)
        return Sighting(
            machine_id=found.id,
            name=without_lease(found.name or "", found.marks)[0],
            status=found.status,
            phase=PHASES.get(found.status, "pending"),
            instance_type=found.instance_type.name,
            region=found.region.name,
            price_usd_per_h=found.price_usd_per_h or None,
            ssh=None if not found.ip else (found.ip, _ssh_port(self.provider.environ)),
            trust="secure",
        )

    def terminate(self, machine_id: str) -> None:
        """Ask for its end."""
        lambda_client(self.provider).terminate(machine_id)

    def user(self, state: Values) -> str:
        """Return the user to log in as."""
        return str(state.get("ssh_user") or self.attrs["ssh_user"].default)

    def imported(self, machine_id: str) -> Values:
        """Return the inputs that Lambda reports."""
        found = lambda_client(self.provider).instance(machine_id)
        keys = found.ssh_key_names
        return {"ssh_key_name": keys[0] if keys else None, "tags": found.marks or None}


def _ssh_port(environ: Mapping[str, str]) -> int:
    """Return the port of sshd: 22, unless an emulator cannot give each machine an address of its own."""
    return int(environ.get("DOUSE_LAMBDA_SSH_PORT") or 22)
