"""A pod on RunPod."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from runner.cloud_api.models import Offer
from runner.clouds.runpod.client import runpod_client
from runner.errors import BadRequestError, NoCapacityError
from runner.provider.candidates import ANYWHERE, CandidateInput
from runner.provider.machine import INPUTS, OUTPUTS, RentedMachine
from runner.provider.rental import refused_by_us
from runner.provider.resource import Ctx
from runner.provider.schema import BOOL, NUMBER, STRING, Attr, Attrs, Values, list_of, map_of
from runner.provider.waiting import Phase, Sighting
from runner.provider.wire import UNKNOWN

if TYPE_CHECKING:
    from runner.clouds.runpod.messages import CreatePod

PHASES: dict[str, Phase] = {
    "PROVISIONING": "pending",
    "STARTING": "pending",
    "RUNNING": "up",
    "EXITED": "stopped",
    "ERROR": "stopped",
    "TERMINATED": "gone",
}
KEY_VARIABLE = "PUBLIC_KEY"
"""RunPod's images put it into authorized_keys."""
SSH_PORT = "22/tcp"
CUDA_PATTERN = re.compile(r"^\d+\.\d+$")
TIME = "%Y-%m-%dT%H:%M:%SZ"
TIME_PATTERN = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")


class RunPodPod(RentedMachine):
    """A pod on RunPod, created when sshd answers in it. It bills from launch until it is destroyed."""

    cloud = "runpod"
    attrs: ClassVar[Attrs] = {
        **INPUTS,
        "image": Attr(STRING, "Container image; it has to start sshd by itself.", required=True, replace=True),
        "disk_size_gib": Attr(NUMBER, "Container disk, in GiB.", required=True, replace=True),
        "community_enabled": Attr(BOOL, "Whether a candidate may be a community machine.", default=False),
        "min_cuda_version": Attr(STRING, "Least CUDA version of the host, like 13.0.", optional=True, replace=True),
        "ports": Attr(list_of(STRING), "Ports to open, like 22/tcp.", default=[SSH_PORT], replace=True),
        "start_command": Attr(
            STRING, "Command in place of the image's own; it has to start sshd by itself.", optional=True, replace=True
        ),
        "env": Attr(map_of(STRING), "Variables of the container.", optional=True, replace=True),
        "env_wo": Attr(map_of(STRING), "Secret variables of the container.", optional=True, write_only=True),
        "ssh_public_key": Attr(STRING, "Public key that may log in as root.", required=True, replace=True),
        "terminate_at": Attr(
            STRING,
            "When RunPod terminates the pod by itself, UTC, like 2026-11-21T18:00:00Z.",
            optional=True,
            replace=True,
        ),
        **OUTPUTS,
    }

    @property
    def bad_request_is_final(self) -> bool:
        """RunPod answers 400 for a lack of machines as well."""
        return False

    def validate(self, ctx: Ctx, config: Values) -> None:
        """Report what RunPod would refuse, before anything is rented."""
        super().validate(ctx, config)
        if isinstance(config["ports"], list) and SSH_PORT not in config["ports"]:
            ctx.error(f"ports must hold {SSH_PORT}", "Without it you cannot log in.", "ports")
        disk = config["disk_size_gib"]
        if isinstance(disk, int) and disk < 1:
            ctx.error("disk_size_gib must be 1 or more", f"It is {disk}.", "disk_size_gib")
        least = config["min_cuda_version"]
        if isinstance(least, str) and not CUDA_PATTERN.match(least):
            ctx.error("min_cuda_version must look like 13.0", f"It is {least}.", "min_cuda_version")
        moment = config["terminate_at"]
        if isinstance(moment, str) and _moment(moment) is None:
            ctx.error("terminate_at must look like 2026-11-21T18:00:00Z", f"It is {moment}.", "terminate_at")
        for variables in ("env", "env_wo"):
            if KEY_VARIABLE in (config[variables] or {}):
                ctx.error(f"{variables} must not set {KEY_VARIABLE}", "That is what ssh_public_key is for.", variables)

    def takes_community(self, config: Values) -> bool:
        """Return whether a candidate may be a machine of the Community Cloud; what is not known yet may turn out so."""
        return config["community_enabled"] is UNKNOWN or bool(config["community_enabled"])

    def offers(self, planned: Values) -> list[Offer]:
        """Return RunPod's catalogue, of the Community Cloud only where a candidate is of it."""
        has_community = any(candidate["trust"] == "community" for candidate in planned["candidates"])
        return runpod_client(self.provider).offers("any" if has_community else "secure")

    def launch(self, ctx: Ctx, planned: Values, candidate: CandidateInput, price_usd_per_h: float) -> str:
        """Rent a pod: by GraphQL for spot or with an end that the server keeps by its own clock, else by REST."""
        cloud = runpod_client(self.provider)
        candidate = candidate.by_clock(cloud.clock_off)
        order = self._order(ctx, planned, candidate)
        end = _end(planned, candidate)
        if not candidate.spot and end is None:
            return cloud.create_pod(order).id
        try:
            if candidate.spot:
                return cloud.rent_spot(order, bid_usd_per_gpu_h=price_usd_per_h, terminate_at=end).id
            if end is not None:
                return cloud.create_until(order, terminate_at=end).id
        except BadRequestError as err:
            if not _has_ended(err):
                raise
            if candidate.spot:
                raise NoCapacityError(
                    "runpod: there is no spot without GraphQL, which does not answer any more",
                    resolution="rent on demand",
                    details=err.message,
                ) from err
            ctx.warn(
                "runpod: the pod has no time limit on the server's side",
                f"GraphQL, which alone can set terminate_at, does not answer any more ({err.message}). "
                "Rented by REST: only this state, the machine's own lease and the sweep will terminate it.",
                "terminate_at",
            )
        return cloud.create_pod(order).id

    def find(self, name: str) -> list[str]:
        """Return the pods of this name."""
        return runpod_client(self.provider).pods_named(name)

    def look(self, machine_id: str) -> Sighting:
        """Return how it stands."""
        from runner.clouds.runpod.messages import CLOUD_TYPES

        pod = runpod_client(self.provider).pod(machine_id)
        address = pod.ssh_address
        return Sighting(
            machine_id=pod.id,
            name=pod.name,
            status=pod.status,
            phase=PHASES.get(pod.status, "pending"),
            instance_type=pod.gpu.id if pod.gpu else None,
            region=pod.data_center_id,
            price_usd_per_h=pod.cost or None,  # 0 while it does not run
            ssh=None if address is None else (address.host, address.port),
            trust=next((trust for trust, cloud_type in CLOUD_TYPES.items() if cloud_type == pod.cloud), None),
        )

    def terminate(self, machine_id: str) -> None:
        """Ask for its end."""
        runpod_client(self.provider).delete_pod(machine_id)

    def user(self, state: Values) -> str:
        """Return the user to log in as: root, unless an emulator has no root to give."""
        return self.provider.environ.get("DOUSE_RUNPOD_USER") or "root"

    def imported(self, machine_id: str) -> Values:
        """Return the inputs that RunPod reports; of the variables only our marks, for others may be secret."""
        from runner.clouds.runpod.listing import TAG_VARIABLES

        pod = runpod_client(self.provider).pod(machine_id)
        marks = {name: pod.env[name] for name in TAG_VARIABLES if name in pod.env}
        return {
            "image": pod.image,
            "community_enabled": pod.cloud == "COMMUNITY",
            "env": marks or None,
            "ssh_public_key": pod.env.get(KEY_VARIABLE),
        }

    def _order(self, ctx: Ctx, planned: Values, candidate: CandidateInput) -> CreatePod:
        from runner.clouds.runpod.listing import EXPIRES_VARIABLE
        from runner.clouds.runpod.messages import CLOUD_TYPES, CreatePod

        variables = {**candidate.marked(planned["env"], EXPIRES_VARIABLE), **(ctx.config.get("env_wo") or {})}
        with refused_by_us(self.cloud):
            return CreatePod(
                name=planned["name"],
                image=planned["image"],
                gpu_id=candidate.instance_type,
                disk_gb=planned["disk_size_gib"],
                cloud=CLOUD_TYPES[candidate.trust],
                data_center_ids=() if candidate.region == ANYWHERE else (candidate.region,),
                ports=tuple(planned["ports"]),
                start_command=planned["start_command"],
                env={**variables, KEY_VARIABLE: planned["ssh_public_key"]},
                min_cuda_version=planned["min_cuda_version"],
            )


def _end(planned: Values, candidate: CandidateInput) -> datetime | None:
    """Return when RunPod is to terminate a pod: at the candidate's own end, where an end is wanted and it has one."""
    if not planned["terminate_at"]:
        return None
    return _moment(candidate.expires_at or "") or _moment(planned["terminate_at"])


def _moment(text: str) -> datetime | None:
    if not TIME_PATTERN.match(text):
        return None
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _has_ended(err: BadRequestError) -> bool:
    from runner.clouds.runpod.refusals import GRAPHQL_ENDED_CODES, GRAPHQL_ENDED_STATUSES

    return err.code in GRAPHQL_ENDED_CODES or err.status in GRAPHQL_ENDED_STATUSES
