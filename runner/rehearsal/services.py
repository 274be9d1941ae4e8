"""The emulated clouds as services: an app each, the paths of its APIs, and what the control API asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from runner.clouds.aws.emulator.wire import Wsgi
from runner.clouds.lambda_cloud.emulator.app import ROOT, LambdaCloud
from runner.clouds.runpod.emulator.app import RunPod
from runner.clouds.runpod.emulator.graphql import RunPodGraphql
from runner.clouds.runpod.emulator.pods import Pods
from runner.emulation.cloud_state import CloudState
from runner.emulation.control_app import Statuses
from runner.emulation.fault_table import CloudName
from runner.emulation.machines import EmulatedMachine, Leftover


@dataclass(frozen=True)
class Service:
    """One cloud to serve.

    Attributes:
        paths: Names of its endpoints, and the path of each.
        statuses: What the control API asks.
        tell_boxes: Told the endpoints as boxes reach them.
        is_for_boxes: Whether boxes have to reach it.
        asgi: The app, or ``None`` for a WSGI one.
        wsgi: The app, or ``None`` for an ASGI one.
    """

    paths: Mapping[str, str]
    statuses: Statuses
    tell_boxes: Callable[[Mapping[str, str]], None]
    is_for_boxes: bool
    asgi: ASGIApp | None = None
    wsgi: Wsgi | None = None


def build(state: CloudState) -> dict[CloudName, Service]:
    """Return the services of the clouds."""
    makers: dict[CloudName, Callable[[CloudState], Service]] = {"lambda": _lambda, "runpod": _runpod, "aws": _aws}
    return {name: makers[name](state) for name in state.clouds}


@dataclass(frozen=True)
class _Statuses:
    """A cloud whose leftovers are all in the books."""

    word: Callable[[EmulatedMachine], str]
    others: Callable[[], Sequence[Leftover]] = tuple

    def status(self, machine: EmulatedMachine) -> str:
        """Return the cloud's own word."""
        return self.word(machine)

    def leftovers(self) -> Sequence[Leftover]:
        """Return what is not in the books."""
        return self.others()


def _lambda(state: CloudState) -> Service:
    cloud = LambdaCloud(state)
    return Service({"lambda": ROOT}, _Statuses(cloud.status), _ignore, is_for_boxes=False, asgi=cloud.app())


def _runpod(state: CloudState) -> Service:
    pods = Pods(state)
    rest, graphql = RunPod(state, pods).app(), RunPodGraphql(state, pods).app()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (graphql if scope["path"] == "/graphql" else rest)(scope, receive, send)

    def tell(endpoints: Mapping[str, str]) -> None:
        pods.box_env = {
            "DOUSE_RUNPOD_ENDPOINT": endpoints["runpod"],
            "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": endpoints["runpod_graphql"],
        }

    paths = {"runpod": "/v2", "runpod_graphql": "/graphql"}
    return Service(paths, _Statuses(pods.status), tell, is_for_boxes=True, asgi=app)


def _aws(state: CloudState) -> Service:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from runner.clouds.aws.emulator.app import AwsCloud
    from runner.clouds.aws.emulator.instances import AwsInstances

    instances = AwsInstances(state)
    cloud = AwsCloud(state, instances, DomainDispatcherApplication(create_backend_app))
    return Service(
        {"aws": ""}, _Statuses(instances.status, instances.leftovers), _ignore, is_for_boxes=True, wsgi=cloud
    )


def _ignore(endpoints: Mapping[str, str]) -> None:
    """Tell boxes nothing."""
