"""Servers that write bytes as a test wants them: for Persona, for proxies, plain and over TLS."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

LIMITS = "RateLimit-Limit: 100000\r\nRateLimit-Remaining: 90000\r\nRateLimit-Reset: 60\r\n"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]


class Line:
    """The connection of one client, as a handler sees it."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self._sock = sock
        self._closing = closing

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def hang_up(self) -> None:
        socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def keep_sending(self, data: bytes) -> None:
        """Send the same again and again, until the client or the test has had enough, or half a minute is over."""
        for _ in range(1500):
            if self._closing.wait(0.02):
                return
            self.send(data)


Handler = Callable[[Received, Line], None]


def answer(body: Any = b"{}", status: str = "200 OK", headers: str = LIMITS) -> bytes:
    """Return an answer as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


def always(content: bytes) -> Handler:
    """Return a handler that gives one answer to all requests."""
    return lambda _, line: line.send(content)


class RawServer:
    """A server on a loopback port, with a thread for each connection.

    :param handler: writes the answer to each request.
    :param context: for TLS.
    :param is_proxy: whether it connects whoever asks with CONNECT, instead of calling the handler.
    """

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None, *, is_proxy: bool = False) -> None:
        self.received: list[Received] = []
        self._handler = handler
        self._context = context
        self._is_proxy = is_proxy
        self._closing = threading.Event()
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self._threads: list[threading.Thread] = []
        self.port = self._sockets[0].getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._closing.set()
        for each in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # a TLS socket's own would wait for the other side
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._connected, self._sockets[0].accept()[0])

    def _connected(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError):  # a client may leave at any time, and a handshake may be refused
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._sockets.append(sock)
            with sock, sock.makefile("rb") as lines:
                while request := _read(lines):
                    self.received.append(request)
                    if self._is_proxy and request.method == "CONNECT":
                        self._connect(request.target, sock)
                    else:
                        self._handler(request, Line(sock, self._closing))

    def _connect(self, target: str, sock: socket.socket) -> None:
        host, _, port = target.partition(":")
        far = socket.create_connection((host, int(port)), timeout=10)
        self._sockets.append(far)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._start(_copy, far, sock)
        _copy(sock, far)


def _read(lines: Any) -> Received | None:
    method, target, _ = (lines.readline().decode("latin-1").split() or [None] * 3)[:3]
    if method is None:
        return None
    headers = {}
    while line := lines.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    lines.read(int(headers.get("content-length", 0)))
    return Received(method, target, headers)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Authority:
    """A certificate that a server of this machine shows, and that nobody trusts unless told to.

    :param certificate: file of the certificate.
    :param context: for the server.
    """

    certificate: Path
    context: ssl.SSLContext


def make_authority(folder: Path) -> Authority:
    """Make a certificate for 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Company CA")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / "company.pem", folder / "company.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)
    return Authority(certificate, context)
