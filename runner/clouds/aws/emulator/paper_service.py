"""AWS on paper: answers requests as botocore parses the real answers to them, from accounts in memory.

A request is ``/<service>/<region>/<operation>``, its body the operation's input in botocore's words. Of AWS's services
there is what our client and our root module ask for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from runner.clouds.aws.emulator.billing import cost_and_usage, tag_asked_for
from runner.clouds.aws.emulator.paper_account import PaperAccount
from runner.clouds.aws.emulator.paper_change import CHANGED, Lost
from runner.clouds.aws.emulator.paper_describe import DESCRIBED
from runner.clouds.aws.emulator.paper_words import Refused
from runner.clouds.aws.emulator.pricing import get_products
from runner.clouds.aws.emulator.refusing import DOWN, unknown_key
from runner.clouds.aws.emulator.seed import ACCESS_KEY_ID, ACCOUNT, IMAGES, OTHER_ACCESS_KEY_ID, OTHER_ACCOUNT
from runner.emulation.calls import Answer, Call
from runner.emulation.cloud_state import CloudState

KEY_HEADER = "authorization"
"""Whose key it is; a request is not signed here."""


class PaperAws:
    """AWS, with an account for each key."""

    def __init__(self, state: CloudState) -> None:
        """Begin with two accounts in which there is nothing."""
        self._state = state
        self.accounts = {
            ACCESS_KEY_ID: PaperAccount(state, ACCOUNT),
            OTHER_ACCESS_KEY_ID: PaperAccount(state.another(), OTHER_ACCOUNT),
        }

    def serve(self, call: Call) -> Answer:
        """Answer one request."""
        _, service, region, operation = call.path.split("/")
        account = self.accounts.get(call.headers.get(KEY_HEADER, ""))
        if account is None:
            return _refused(*unknown_key(service))
        with account.state.turn():
            try:
                return self._answer(account, service, region, operation, call)
            except Refused as refusal:
                return _refused(refusal.status, refusal.code, refusal.words)
            except Lost:
                return Answer(200, {}, is_lost=True)

    def _answer(self, account: PaperAccount, service: str, region: str, operation: str, call: Call) -> Answer:
        state = account.state
        if state.is_down("aws", operation):
            return _refused(*DOWN)
        refused = state.faults.peek("key_invalid", "aws")
        if refused is not None and refused.arguments["at"] == "any" and state.fault("key_invalid", "aws", operation):
            return _refused(*unknown_key(service))
        if service == "ec2":
            asked: Mapping[str, Any] = json.loads(call.body)
            shown = (DESCRIBED.get(operation) or CHANGED[operation])(account, region, asked)
            return Answer(200, shown) if shown != {} or operation in CHANGED else Answer(200, raw=b"")
        return _OTHERS[service, operation](account, call.body)


def _identity(account: PaperAccount) -> Answer:
    return Answer(200, {"Account": account.number, "UserId": "AKIA", "Arn": f"arn:aws:iam::{account.number}:user/me"})


def _parameter(body: bytes) -> Answer:
    name = json.loads(body)["Name"]
    if name not in IMAGES:
        return _refused(400, "ParameterNotFound", f"{name} was not found")
    return Answer(200, {"Parameter": {"Name": name, "Value": IMAGES[name][0]}})


def _bill(account: PaperAccount, body: bytes) -> Answer:
    tag = tag_asked_for(body)
    tagged = [made.machine for made in account.instances.values() if tag is None or made.tags.get(tag[0]) == tag[1]]
    return cost_and_usage(body, tagged, account.state.clock(), account.settings["bill_late_s"])


_OTHERS: Mapping[tuple[str, str], Callable[[PaperAccount, bytes], Answer]] = {
    ("sts", "GetCallerIdentity"): lambda account, _: _identity(account),
    ("ssm", "GetParameter"): lambda _, body: _parameter(body),
    ("ce", "GetCostAndUsage"): _bill,
    ("pricing", "GetProducts"): lambda _, body: get_products(body),
    ("scheduler", "ListSchedules"): lambda _account, _body: Answer(200, {"Schedules": []}),
}


def _refused(status: int, code: str, words: str) -> Answer:
    return Answer(status, {"Error": {"Code": code, "Message": words}})
