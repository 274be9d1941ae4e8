"""What the environment's variables say of the network, and the words for what nobody can use of it.

A proxy of a kind that needs a package, certificates that are not where ``SSL_CERT_FILE`` says, an address that is none:
httpx2 raises what it likes for them, when a client is made. Whoever makes one turns that into an error with a cause.
"""

from __future__ import annotations

import ssl

import httpx2

NO_WAY_OUT = (ImportError, OSError, ValueError, httpx2.InvalidURL)
"""What making a client raises for a proxy, certificates or an address that nobody can use."""
WAY_OUT = (
    "correct or unset SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY; "
    "a SOCKS proxy needs a package: `.venv/bin/python -m pip install socksio`"
)


def no_way_out_words(err: Exception) -> str:
    """Return what is wrong with the network that the environment names; httpx2 names neither a file nor a variable."""
    if isinstance(err, ImportError):
        return "a proxy variable names a SOCKS proxy, and socksio is not installed"
    if isinstance(err, (ssl.SSLError, OSError)):
        return f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({err})"
    return f"a proxy variable or the address is of no use ({err})"
