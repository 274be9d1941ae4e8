"""What hashicorp/aws does with the resources of our root module, in the order and in the words of the real one.

It was seen to do so by ``tests/contract/test_aws_terraform_stand_in.py``, which runs both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from runner.clouds.aws.simulated.calls import CallError, Calls
from runner.provider.resource import Ctx, Provider, TerraformResource
from runner.provider.schema import Attr, Attrs, Values
from runner.world import World

FIRST_LOOK_S, LOOK_S = 10.0, 3.0
CREATE_S, DELETE_S, GROUP_S = 600.0, 1200.0, 900.0
"""How long the provider waits for an instance that runs, for one that is gone, and for a group that nothing holds."""
UNSEEN = 20
"""So many looks an instance may be missing from what EC2 shows."""


class AwsProvider(Provider):
    """The provider, as far as our root module uses it."""

    resources: ClassVar[Mapping[str, type[TerraformResource[Any]]]] = {}

    def __init__(self, world: World) -> None:
        """Take the world that its calls go on in."""
        super().__init__(world)
        self.calls = Calls(world)
        self.groups: dict[str, str] = {}

    def configure(self, config: Values) -> None:
        """Check the credentials, as each command does.

        Raises:
            CallError: If they are not good, or AWS does not answer.
        """
        try:
            self.calls.ask("GetCallerIdentity", service="sts")
        except CallError as err:
            words = "validating provider credentials: retrieving caller identity from STS"
            raise CallError(f"{words}: {err.message}", err.code) from err

    def look_up(self, parameter: str) -> None:
        """Read the module's data sources, as each plan does.

        Raises:
            CallError: If one cannot be read.
        """
        image = self.calls.ask("GetParameter", service="ssm", Name=parameter)["Parameter"]["Value"]
        self.calls.ask("DescribeImages", Filters=[{"Name": "image-id", "Values": [image]}])
        self.calls.ask("DescribeVpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])


class Resource(TerraformResource[AwsProvider]):
    """What the three have in common."""

    def until(self, is_over: Callable[[], bool], timeout_s: float, doing: str, every_s: float = LOOK_S) -> None:
        """Look again and again.

        Raises:
            CallError: If the time is over.
        """
        world = self.provider.world
        last_s = world.monotonic_s() + timeout_s
        while not is_over():
            if world.monotonic_s() > last_s:
                raise CallError(f"{doing}: timeout while waiting for state to become expected")
            world.sleep(every_s)


class KeyPair(Resource):
    """``aws_key_pair``."""

    attrs: ClassVar[Attrs] = {name: Attr() for name in ("key_name", "public_key", "tags")} | {"id": Attr(computed=True)}

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Import it."""
        name, public_key = planned["key_name"], planned["public_key"]
        tags = tagged({"key-pair": planned["tags"]})
        asked = {"KeyName": name, "PublicKeyMaterial": public_key, "TagSpecifications": tags}
        in_words(f"importing EC2 Key Pair ({name})", self.provider.calls, "ImportKeyPair", asked, ctx)
        return {**planned, "id": name}

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Look for it."""
        return _found(self.provider.calls, "InvalidKeyPair.NotFound", state, "DescribeKeyPairs", KeyNames=[state["id"]])

    def delete(self, ctx: Ctx, state: Values) -> None:
        """Delete it."""
        asked = {"KeyName": state["id"]}
        in_words(f"deleting EC2 Key Pair ({state['id']})", self.provider.calls, "DeleteKeyPair", asked, ctx)


class SecurityGroup(Resource):
    """``aws_security_group``."""

    attrs: ClassVar[Attrs] = {
        name: Attr() for name in ("name", "description", "vpc_id", "ingress", "egress", "tags")
    } | {"id": Attr(computed=True)}

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Create it, then its rules; the instance is told its id."""
        calls, name = self.provider.calls, planned["name"]
        asked = {"GroupName": name, "TagSpecifications": tagged({"security-group": planned["tags"]})}
        doing = f"creating Security Group ({name})"
        made = {**planned, "id": in_words(doing, calls, "CreateSecurityGroup", asked, ctx)["GroupId"]}
        ctx.save(made)
        calls.ask("DescribeSecurityGroups", GroupIds=[made["id"]])
        for operation in ("RevokeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"):
            in_words("updating Security Group", calls, operation, {"GroupId": made["id"]}, ctx)
        self.provider.groups[name] = made["id"]
        return made

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Look for it."""
        self.provider.groups[state["name"]] = state["id"]
        missing, asked = "InvalidGroup.NotFound", {"GroupIds": [state["id"]]}
        return _found(self.provider.calls, missing, state, "DescribeSecurityGroups", **asked)

    def delete(self, ctx: Ctx, state: Values) -> None:
        """Delete it, as soon as nothing holds it."""

        def is_gone() -> bool:
            try:
                self.provider.calls.ask("DeleteSecurityGroup", stop=ctx.stop, GroupId=state["id"])
            except CallError as err:
                if err.code == "DependencyViolation" and not ctx.stop.is_set():
                    return False
                if err.code != "InvalidGroup.NotFound":
                    raise CallError(f"deleting Security Group ({state['id']}): {err.message}", err.code) from err
            return True

        self.until(is_gone, GROUP_S, f"deleting Security Group ({state['id']})")


class Instance(Resource):
    """``aws_instance``."""

    attrs: ClassVar[Attrs] = {
        name: Attr()
        for name in (
            "ami", "instance_type", "key_name", "subnet_id", "vpc_security_group_ids", "iam_instance_profile",
            "ebs_optimized", "instance_initiated_shutdown_behavior", "user_data", "user_data_replace_on_change",
            "metadata_options", "root_block_device", "instance_market_options", "tags",
        )
    } | {"id": Attr(computed=True), "public_ip": Attr(computed=True)}  # fmt: skip

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Launch it, and wait until it runs."""
        asked = self._order(planned)
        made = in_words("creating EC2 Instance", self.provider.calls, "RunInstances", asked, ctx)["Instances"][0]
        ctx.save({**planned, "id": made["InstanceId"]})
        running = self._wait_until_running(ctx, made["InstanceId"])
        (disk,) = running["BlockDeviceMappings"]
        tags = tagged({"volume": planned["root_block_device"][0]["tags"]})[0]["Tags"]
        asked = {"Resources": [disk["Ebs"]["VolumeId"]], "Tags": tags}
        in_words("updating EC2 Instance: tagging its root device", self.provider.calls, "CreateTags", asked, ctx)
        found = self.read(ctx, {**planned, "id": made["InstanceId"]})
        if found is None:
            raise CallError(f"reading EC2 Instance ({made['InstanceId']}): couldn't find resource")
        return found

    def _order(self, planned: Values) -> dict[str, Any]:
        disk = planned["root_block_device"][0]
        market: dict[str, Any] = {}
        for one in planned["instance_market_options"]:
            options = {"MaxPrice": one["spot_options"][0]["max_price"]}
            market = {"InstanceMarketOptions": {"MarketType": one["market_type"], "SpotOptions": options}}
        names = planned["vpc_security_group_ids"]
        return {
            "ClientToken": self.provider.world.token(16),
            "InstanceType": planned["instance_type"],
            "MinCount": 1,
            "MaxCount": 1,
            "KeyName": planned["key_name"],
            "SecurityGroupIds": [self.provider.groups[name] for name in names],
            "UserData": planned["user_data"],
            "InstanceInitiatedShutdownBehavior": planned["instance_initiated_shutdown_behavior"],
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": int(disk["volume_size"])}}],
            "TagSpecifications": tagged({"instance": planned["tags"]}),
            **market,
        }

    def _wait_until_running(self, ctx: Ctx, instance_id: str) -> dict[str, Any]:
        """Return an instance that runs."""
        doing, seen = f"waiting for EC2 Instance ({instance_id}) create", list[dict[str, Any]]()

        def runs() -> bool:
            if ctx.stop.is_set():
                raise CallError(f"{doing}: context canceled")
            found = self._shown(instance_id)
            seen.append({} if found is None else found)
            state = seen[-1].get("State", {}).get("Name", "")
            if state in ("shutting-down", "terminated", "stopping", "stopped"):
                raise CallError(f"{doing}: unexpected state '{state}', wanted target 'running'. last error: %!s(<nil>)")
            if found is None and len(seen) > UNSEEN and not any(seen[-UNSEEN:]):
                raise CallError(f"{doing}: couldn't find resource ({UNSEEN + 1} retries)")
            return bool(state == "running")

        self.provider.world.sleep(FIRST_LOOK_S)
        self.until(runs, CREATE_S, doing)
        return seen[-1]

    def _shown(self, instance_id: str) -> dict[str, Any] | None:
        """Return an instance as EC2 shows it, ``None`` where it shows none."""
        try:
            found = self.provider.calls.ask("DescribeInstances", InstanceIds=[instance_id])
        except CallError as err:
            if err.code != "InvalidInstanceID.NotFound":
                raise CallError(f"reading EC2 Instance ({instance_id}): {err.message}", err.code) from err
            return None
        (instance,) = found["Reservations"][0]["Instances"]
        shown: dict[str, Any] = instance
        return shown

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Look for it; one that is terminated is gone."""
        found = self._shown(state["id"])
        if found is None or found["State"]["Name"] == "terminated":
            return None
        return {**state, "public_ip": found.get("PublicIpAddress", "")}

    def delete(self, ctx: Ctx, state: Values) -> None:
        """Terminate it, and wait until it is."""
        doing = f"terminating EC2 Instance ({state['id']})"
        try:
            self.provider.calls.ask("TerminateInstances", stop=ctx.stop, InstanceIds=[state["id"]])
        except CallError as err:
            if err.code == "InvalidInstanceID.NotFound":
                return
            raise CallError(f"{doing}: {err.message}", err.code) from err

        def is_gone() -> bool:
            if ctx.stop.is_set():
                raise CallError(f"{doing}: context canceled")
            return self.read(ctx, state) is None

        self.provider.world.sleep(FIRST_LOOK_S)
        self.until(is_gone, DELETE_S, doing)


AwsProvider.resources = {"aws_key_pair": KeyPair, "aws_security_group": SecurityGroup, "aws_instance": Instance}


def in_words(
    doing: str, calls: Calls, operation: str, asked: Mapping[str, Any], ctx: Ctx | None = None
) -> dict[str, Any]:
    """Return the answer to a request; a failure says what was being done.

    Raises:
        CallError: If it fails.
    """
    try:
        return calls.ask(operation, stop=None if ctx is None else ctx.stop, **asked)
    except CallError as err:
        raise CallError(f"{doing}: {err.message}", err.code) from err


def tagged(tags: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return the tags of what a request creates, in EC2's words."""
    return [
        {"ResourceType": kind, "Tags": [{"Key": name, "Value": value} for name, value in own.items()]}
        for kind, own in tags.items()
    ]


def _found(calls: Calls, missing: str, state: Values, operation: str, **asked: Any) -> Values | None:
    try:
        calls.ask(operation, **asked)
    except CallError as err:
        if err.code != missing:
            raise
        return None
    return state
