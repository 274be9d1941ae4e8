"""This machine's public address, as the machines that it rents see it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import httpx2

from runner.cloud_api.network import NO_WAY_OUT, WAY_OUT, no_way_out_words
from runner.errors import CloudUnavailableError, UnreadableAnswerError

CHECK_URL = "https://checkip.amazonaws.com"
TIMEOUT_S = 10.0


def public_address_cidr(environ: Mapping[str, str]) -> str:
    """Return this machine's public address as a network of one, like ``203.0.113.7/32``.

    Args:
        environ: ``DOUSE_ADDRESS_URL`` in it names another service that answers with the caller's address alone.

    Raises:
        CloudUnavailableError: If the service cannot be reached.
        UnreadableAnswerError: If it answers with something else than an address.
    """
    url = environ.get("DOUSE_ADDRESS_URL") or CHECK_URL
    by_hand = "give it by hand: SET='compute.ssh_ingress_cidrs=[203.0.113.7/32]'"
    try:
        answer = httpx2.get(url, timeout=TIMEOUT_S)
        answer.raise_for_status()
    except NO_WAY_OUT as err:
        raise CloudUnavailableError(
            f"plan: this machine's public address cannot be asked for at {url}: {no_way_out_words(err)}",
            resolution=f"{WAY_OUT}; or {by_hand}",
        ) from err
    except httpx2.HTTPError as err:
        raise CloudUnavailableError(
            f"plan: cannot learn this machine's public address from {url}", resolution=by_hand, details=str(err)
        ) from err
    try:
        address = ipaddress.ip_address(answer.text.strip())
    except ValueError as err:
        raise UnreadableAnswerError(
            f"plan: {url} answers with {answer.text.strip()[:60]!r}, which is no address", resolution=by_hand
        ) from err
    return f"{address}/{address.max_prefixlen}"
