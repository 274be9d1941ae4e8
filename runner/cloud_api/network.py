"""What the environment's variables say of the network, and the words for what nobody can use of it.

A proxy of a kind that needs a package, certificates that are not where ``SSL_CERT_FILE`` says, an address that is none:
httpx2 raises what it likes for them, when a client is made. Whoever makes one turns that into an error with a cause.
"""

from __future__ import annotations

import re
import ssl
from datetime import datetime

import httpx2

NO_WAY_OUT = (ImportError, OSError, ValueError, httpx2.InvalidURL)
"""What making a client raises for a proxy, certificates or an address that nobody can use."""
WAY_OUT = (
    "correct or unset SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY; "
    "a SOCKS proxy needs a package: `.venv/bin/python -m pip install socksio`"
)

UNVERIFIED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's word for a certificate that it does not take."""
WRONG_DATE = re.compile(r"certificate (?:has expired|is not yet valid)")
SET_CLOCK = "set this computer's clock right (`timedatectl`), then repeat the command"


def certificate_words(words: str, host: str, now: datetime) -> tuple[str, str] | None:
    """Return why the certificate of a host is not taken, and what to do; ``None`` where that is not the trouble.

    Args:
        words: What OpenSSL said, in whatever exception.
        host: Whose certificate it should be.
        now: The time by this computer's clock (UTC), which may be the whole trouble.
    """
    if UNVERIFIED not in words:
        return None
    if WRONG_DATE.search(words):
        return f"by this computer's clock ({now:%Y-%m-%d %H:%M} UTC) the certificate of {host} is not valid", SET_CLOCK
    return (
        f"the certificate that is shown for {host} is not trusted here",
        "where a proxy opens TLS connections, name a file of its certificates with SSL_CERT_FILE",
    )


def no_way_out_words(err: Exception) -> str:
    """Return what is wrong with the network that the environment names; httpx2 names neither a file nor a variable."""
    if isinstance(err, ImportError):
        return "a proxy variable names a SOCKS proxy, and socksio is not installed"
    if isinstance(err, (ssl.SSLError, OSError)):
        return f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({err})"
    return f"a proxy variable or the address is of no use ({err})"
