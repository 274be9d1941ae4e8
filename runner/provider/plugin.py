"""How Terraform and a plugin process meet: the handshake, the socket, signals, the end (go-plugin's protocol 1)."""

from __future__ import annotations

import base64
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runner.provider.resource import Provider
from runner.provider.service import CALLS, Service
from runner.provider.wire import MESSAGES

COOKIE_NAME = "TF_PLUGIN_MAGIC_COOKIE"
COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""Not a secret: it shows a plugin that Terraform started it, not a person."""
THREADS = 64
LONGEST_MESSAGE = 256 << 20
END_GRACE_S = 0.2
PARENT_POLL_S = 1.0
CERTIFICATE_DAYS = 30
ABANDON_S = 900.0
"""How long the plugin goes on after Terraform's death to end what it was renting."""


def serve(provider: Provider) -> int:
    """Answer Terraform until it says that it is done; return the exit status of the process."""
    if os.environ.get(COOKIE_NAME) != COOKIE:
        print("This is a provider for Terraform, which starts it by itself; see infra/README.md.", file=sys.stderr)
        return 2
    # These reach the whole process group. Terraform sends us StopProvider, and its death is noticed.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="tf-", ignore_cleanup_errors=True) as folder:  # only its owner may enter
        socket = Path(folder) / "s"
        credentials, certificate = _credentials()
        service = Service(provider)
        server = plugin_server(service, done.set)
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        print(f"1|6|unix|{socket}|grpc|{certificate}", flush=True)
        _wait_for_end(done)
        service.abandon(ABANDON_S)  # between two calls, as is usual, there is nothing to do
        server.stop(grace=END_GRACE_S).wait()
    return 0


def _wait_for_end(done: threading.Event) -> None:
    """Wait until Terraform is done, or is gone without a word: a plugin must not outlive it for ever."""
    parent = os.getppid()
    while not done.wait(PARENT_POLL_S):
        if os.getppid() != parent:
            return


def plugin_server(service: Service, on_shutdown: Callable[[], None]) -> grpc.Server:
    """Return a server that answers all calls of the protocol, without an address yet.

    Args:
        service: Who answers.
        on_shutdown: Called when Terraform says that it is done.
    """

    def shut_down(_request: Any) -> Any:
        on_shutdown()
        return MESSAGES["Empty"]()

    def answering(call: str) -> Callable[[Any], Any]:
        return lambda request: service.answer(call, request)

    provider = {call: _unary(answering(call), message) for call, message in CALLS.items()}
    output = grpc.unary_stream_rpc_method_handler(
        lambda _request, _context: iter(()),
        request_deserializer=MESSAGES["Empty"].FromString,
        response_serializer=_serialise,
    )
    limits = [("grpc.max_receive_message_length", LONGEST_MESSAGE), ("grpc.max_send_message_length", LONGEST_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=limits)
    server.add_generic_rpc_handlers(
        (
            _handler("tfplugin6.Provider", provider),
            _handler("plugin.GRPCController", {"Shutdown": _unary(shut_down, "Empty")}),
            _handler("plugin.GRPCStdio", {"StreamStdio": output}),
        )
    )
    return server


def _handler(name: str, calls: Mapping[str, Any]) -> Any:
    return grpc.method_handlers_generic_handler(name, calls)


def _unary(work: Callable[[Any], Any], message: str) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        lambda request, _context: work(request),
        request_deserializer=MESSAGES[message].FromString,
        response_serializer=_serialise,
    )


def _serialise(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _credentials() -> tuple[grpc.ServerCredentials, str]:
    """Return the server's half of TLS, and its certificate as the handshake wants it.

    The client's half cannot be asked for: Terraform's certificate is ECDSA on P-521, which the TLS library inside of
    grpcio does not accept. The socket lies in a folder that only its owner may enter.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    credentials = grpc.ssl_server_credentials(
        [(pem, certificate.public_bytes(serialization.Encoding.PEM))], require_client_auth=False
    )
    return credentials, base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
