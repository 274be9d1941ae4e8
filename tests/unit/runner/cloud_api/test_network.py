"""The words for a network of no use, by what OpenSSL itself says of certificates."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server, socket

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runner.cloud_api.http import Api
from runner.cloud_api.network import certificate_words
from runner.cloud_api.pacing import Pace
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.errors import CloudUnavailableError
from runner.world import RealWorld
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key

WAIT_S = 60.0
DAY = timedelta(days=1)


def certificate(folder: Path, begins_in: timedelta) -> Path:
    """Return a file with a key and its own certificate for a day, which begins in so long."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    begins_at = datetime.now(UTC) + begins_in
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(begins_at).not_valid_after(begins_at + DAY)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "both.pem"
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(encoding))
    return path


@contextmanager
def shown(path: Path) -> Iterator[str]:
    """Show a certificate to everybody at an address of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def show(place: socket) -> None:
        while True:
            try:
                with place.accept()[0] as caller:
                    caller.settimeout(WAIT_S)
                    context.wrap_socket(caller, server_side=True).close()
            except ssl.SSLError:
                continue  # who does not take it hangs up
            except OSError:
                return

    with create_server(("127.0.0.1", 0)) as place:
        thread = threading.Thread(target=show, args=(place,), daemon=True)
        thread.start()
        yield f"https://localhost:{place.getsockname()[1]}"
        place.shutdown(2)
    thread.join(WAIT_S)


@pytest.mark.parametrize(
    ("begins_in", "is_trusted", "message", "to_do"),
    [
        (-2 * DAY, True, "by this computer's clock", "timedatectl"),
        (DAY, True, "by this computer's clock", "timedatectl"),
        (-DAY / 2, False, "is not trusted here", "SSL_CERT_FILE"),
    ],
    ids=["over", "to-come", "unknown"],
)
def test_a_certificate_that_is_not_taken_is_said_with_its_cause(
    begins_in: timedelta, is_trusted: bool, message: str, to_do: str, tmp_path: Path
) -> None:
    path = certificate(tmp_path, begins_in)
    judge = ssl.create_default_context(cafile=str(path)) if is_trusted else ssl.create_default_context()
    with shown(path) as address, httpx2.HTTPTransport(verify=judge) as transport:
        api = Api(
            "lambda",
            address,
            new_key(),
            refusal=lambda_refusal,
            pace=Pace(RealWorld(), 0.0),
            timer=FakeTime().timer,
            transport=transport,
        )
        with pytest.raises(CloudUnavailableError, match=message) as caught:
            api.ask("GET", "/things", doing="list things", repeatable=True)

    assert "localhost" in caught.value.message
    assert to_do in caught.value.resolution


def test_another_trouble_is_none_of_a_certificate() -> None:
    assert certificate_words("Connection refused", "cloud.example", datetime.now(UTC)) is None
