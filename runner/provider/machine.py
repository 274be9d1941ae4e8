"""What a rented machine has in common on all clouds: its attributes."""

from __future__ import annotations

from runner.provider.schema import BOOL, NUMBER, STRING, Attr, object_of

CANDIDATE_ATTRS = {
    "instance_type": Attr(STRING, "The cloud's name of the kind of machine.", required=True),
    "region": Attr(STRING, "Where.", required=True),
    "spot": Attr(BOOL, "Whether the cloud may take it back.", required=True),
    "max_price_usd_per_h": Attr(NUMBER, "Ceiling of the price, in US dollars an hour.", required=True),
}
INPUTS = {
    "name": Attr(STRING, "Unique name of the machine; by it a machine is found again.", required=True, replace=True),
    "candidates": Attr(
        items=CANDIDATE_ATTRS,
        doc="Machines to try, in this order. A later change matters only if it leaves out the one that was rented.",
        required=True,
    ),
    "create_timeout_s": Attr(NUMBER, "Seconds from launch until sshd answers.", default=1500),
    "delete_timeout_s": Attr(NUMBER, "Seconds from the request to end it until it is gone.", default=600),
}
OUTPUTS = {
    "id": Attr(STRING, "The cloud's id of the machine.", computed=True),
    "status": Attr(STRING, "How the machine stands, in the cloud's words.", computed=True),
    "address": Attr(STRING, "Its public address.", computed=True),
    "instance_type": Attr(STRING, "The candidate's kind that was rented.", computed=True),
    "region": Attr(STRING, "Where it stands.", computed=True),
    "spot": Attr(BOOL, "Whether the cloud may take it back.", computed=True),
    "price_usd_per_h": Attr(NUMBER, "What it costs, in US dollars an hour.", computed=True),
    "ssh": Attr(object_of(host=STRING, port=NUMBER, user=STRING), "Where sshd answers.", computed=True),
}
