"""What changes an AWS account on paper: launches, ends, and what a launch needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.clouds.aws.emulator.paper_account import Item, Kind, PaperAccount
from runner.clouds.aws.emulator.paper_describe import Asked, Shown, described
from runner.clouds.aws.emulator.paper_words import Refused
from runner.clouds.aws.emulator.refusing import INTERNAL, LIMITED, launch_refusal
from runner.clouds.aws.emulator.states import after_end


class Lost(Exception):  # noqa: N818 - it is an answer
    """It is done, and its answer is lost."""


def run_instances(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``RunInstances``."""
    state, token = account.state, str(asked.get("ClientToken", ""))
    if token and token in account.answered:  # a repeated request makes no second machine
        return account.answered[token]
    market = asked.get("InstanceMarketOptions", {})
    spot, bid = market.get("MarketType") == "spot", market.get("SpotOptions", {}).get("MaxPrice")
    refusal = launch_refusal(state, asked["InstanceType"], region, spot=spot, bid=bid)
    if refusal == LIMITED:
        account.polls_to_limit += 1
    if refusal is not None:
        raise Refused(*refusal)
    made = account.rent(asked, region)
    answer = {"Instances": [described(account, made)]}
    account.answered[token] = answer
    fault = state.fault("launch_500_after_create", "aws", made.machine.id)
    if fault is not None and fault.arguments["lost"]:
        raise Lost
    if fault is not None:
        raise Refused(*INTERNAL)
    return answer


def terminate_instances(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``TerminateInstances``."""
    state, ids = account.state, asked["InstanceIds"]
    state.is_end_asked["aws"] = True
    found = [account.instances[one].machine for one in ids if one in account.instances]
    on = ", ".join(ids)
    if len(found) != len(ids) or any(machine.region != region for machine in found):
        raise Refused(400, "InvalidInstanceID.NotFound", f"The instance ID '{on}' does not exist")
    if state.fault("terminate_500", "aws", on) is not None:
        raise Refused(*INTERNAL)
    if state.fault("terminate_rate_limited", "aws", on) is not None:
        raise Refused(*LIMITED)
    if state.fault("already_gone", "aws", on) is not None:
        for machine in found:
            state.end(machine, "deleted in the console", after_s=0.0)
        raise Refused(400, "InvalidInstanceID.NotFound", f"The instance ID '{on}' does not exist")
    if state.fault("terminate_ignored", "aws", on) is None:
        is_only_stopped = state.fault("stopped_disk_bills", "aws", on) is not None
        for machine in found:
            if is_only_stopped:
                account.stop(machine)
            elif not machine.is_ended:
                state.end(machine, "request", after_s=account.settings["end_s"])
    rows = [{"InstanceId": one.id, "CurrentState": {"Name": after_end(account.status(one))}} for one in found]
    return {"TerminatingInstances": rows}


def create_tags(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``CreateTags``, for the disks of instances alone."""
    for made in account.here(region):
        if made.volume_id in asked["Resources"]:
            made.volume_tags |= {one["Key"]: one["Value"] for one in asked["Tags"]}
            return {"Return": True}
    raise Refused(400, "InvalidVolume.NotFound", f"The volume '{asked['Resources'][0]}' does not exist.")


def import_key_pair(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``ImportKeyPair``."""
    made = _make(account, "key", "key", asked["KeyName"], region, asked, "InvalidKeyPair.Duplicate")
    made.detail["PublicKey"] = asked["PublicKeyMaterial"]
    return {"KeyName": made.row.name, "KeyPairId": made.row.id}


def delete_key_pair(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DeleteKeyPair``; one that is not there is fine."""
    found = account.named("key", asked["KeyName"], region)
    if found is not None and account.state.fault("leftover_key", "aws", found.row.name) is None:
        account.drop(found)
    return {"Return": True}


def create_security_group(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``CreateSecurityGroup``."""
    name = asked["GroupName"]
    return {"GroupId": _make(account, "security_group", "sg", name, region, asked, "InvalidGroup.Duplicate").row.id}


def change_rules(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer a request for rules of a security group, which nobody asks for later."""
    _existing(account, region, asked["GroupId"], "InvalidGroup.NotFound")
    return {"Return": True}


def delete_security_group(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DeleteSecurityGroup``; one that an instance holds cannot go."""
    found = _existing(account, region, asked["GroupId"], "InvalidGroup.NotFound")
    held = [made for made in account.instances.values() if found.row.id in made.groups and not made.machine.is_ended]
    if held:
        raise Refused(400, "DependencyViolation", f"resource {found.row.id} has a dependent object")
    account.drop(found)
    return {"Return": True}


def delete_volume(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DeleteVolume``; the disk of an instance cannot go."""
    if asked["VolumeId"] in [made.volume_id for made in account.instances.values() if not made.machine.is_ended]:
        raise Refused(400, "VolumeInUse", f"Volume {asked['VolumeId']} is currently attached")
    account.drop(_existing(account, region, asked["VolumeId"], "InvalidVolume.NotFound"))
    return {}


def release_address(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``ReleaseAddress``."""
    account.drop(_existing(account, region, asked["AllocationId"], "InvalidAllocationID.NotFound"))
    return {}


CHANGED: Mapping[str, Callable[[PaperAccount, str, Asked], Shown]] = {
    "RunInstances": run_instances,
    "TerminateInstances": terminate_instances,
    "CreateTags": create_tags,
    "ImportKeyPair": import_key_pair,
    "DeleteKeyPair": delete_key_pair,
    "CreateSecurityGroup": create_security_group,
    "AuthorizeSecurityGroupIngress": change_rules,
    "AuthorizeSecurityGroupEgress": change_rules,
    "RevokeSecurityGroupEgress": change_rules,
    "DeleteSecurityGroup": delete_security_group,
    "DeleteVolume": delete_volume,
    "ReleaseAddress": release_address,
}


def _make(account: PaperAccount, kind: Kind, prefix: str, name: str, region: str, asked: Asked, duplicate: str) -> Item:
    if account.named(kind, name, region) is not None:
        raise Refused(400, duplicate, f"'{name}' already exists.")
    listed: list[dict[str, Any]] = asked.get("TagSpecifications", [{"Tags": []}])[0]["Tags"]
    return account.keep(kind, account.new_id(prefix), name, region, {one["Key"]: one["Value"] for one in listed})


def _existing(account: PaperAccount, region: str, item_id: str, missing: str) -> Item:
    found = account.items.get(item_id)
    if found is None or found.row.region != region:
        raise Refused(400, missing, f"'{item_id}' does not exist")
    return found
