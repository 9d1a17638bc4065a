"""TLS settings: which certificate to show, whom to trust."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from protosocket.connection.host import certificate_name
from protosocket.errors import OptionError

__all__ = ["TLS", "TLSOption", "client_context", "server_context"]

Path: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TLS:
    """Certificates and checks of a TLS connection, for either side; TLS 1.2 and newer.

    The files are PEM. They are read when a context is made, so a new connection or listener sees renewed
    files; an ``ssl.SSLContext`` made once and given in place of a ``TLS`` saves the reading.
    Raises ``OptionError`` for settings that contradict each other.
    """

    certificate: Path | None = None
    """Our certificate chain: required on a server, shown by a client if the server asks."""

    key: Path | None = None
    """The certificate's private key; ``None`` when it is in the ``certificate`` file."""

    key_password: str | None = field(default=None, repr=False)
    """The private key's password, if it has one."""

    ca: Path | None = None
    """A file or a hashed directory of certificates whose signatures are trusted. A client without it
    trusts the system's roots; a server needs it only to check client certificates."""

    server_hostname: str | None = None
    """Client: the name to ask for and to find in the server's certificate; default: the address's host."""

    verify: bool = True
    """Client: check the server's certificate. ``False`` is open to anyone in between: for tests only."""

    require_client_certificate: bool = False
    """Server: refuse clients without a certificate signed by ``ca``."""

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise OptionError(f"TLS key {os.fspath(self.key)!r} is given without its certificate")
        if self.require_client_certificate and self.ca is None:
            raise OptionError("require_client_certificate needs ca: the file of whom to trust")
        if self.server_hostname is not None:
            _require_name(self.server_hostname)

    def client_context(self) -> ssl.SSLContext:
        """A new context for the connecting side; reads the files.

        Raises ``OptionError``, naming the file, when one is missing or not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            self._load_ca(context, self.ca)
        if self.certificate is not None:
            self._load_certificate(context, self.certificate)
        return context

    def server_context(self) -> ssl.SSLContext:
        """A new context for the listening side; reads the files.

        Raises ``OptionError`` when there is no ``certificate``, or, naming the file, when one is missing or
        not what it should be.
        """
        if self.certificate is None:
            raise OptionError("a TLS server needs a certificate: TLS(certificate=..., key=...)")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_certificate(context, self.certificate)
        if self.require_client_certificate and self.ca is not None:
            self._load_ca(context, self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _load_certificate(self, context: ssl.SSLContext, certificate: Path) -> None:
        _require_readable("certificate", certificate)
        if self.key is not None:
            _require_readable("key", self.key)
        key = certificate if self.key is None else self.key
        try:
            # Without a callback OpenSSL would ask for a missing password on the terminal.
            context.load_cert_chain(certificate, self.key, lambda: self.key_password or "")
        except OSError as error:
            certificate, key = os.fspath(certificate), os.fspath(key)
            if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
                raise OptionError(f"TLS key {key!r} is not that of certificate {certificate!r}") from error
            password = "wrong password" if self.key_password else "or does it need key_password"
            raise OptionError(
                f"TLS certificate {certificate!r} or key {key!r} is unusable: not PEM, {password}? ({error})"
            ) from error

    @staticmethod
    def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
        if os.path.isdir(ca):
            context.load_verify_locations(capath=ca)
            return
        _require_readable("ca", ca)
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise OptionError(f"TLS ca {os.fspath(ca)!r} holds no PEM certificates ({error})") from error


TLSOption: TypeAlias = TLS | ssl.SSLContext
"""What is taken wherever TLS settings are: a ``TLS``, or a context of your own making."""


def client_context(tls: TLSOption | None) -> ssl.SSLContext:
    """The context of a connecting side; ``None`` checks the server against the system's roots.

    Raises ``OptionError`` like ``TLS.client_context``, and for an ``ssl.SSLContext`` made for servers.
    """
    if tls is None:
        return _system_roots()
    if isinstance(tls, TLS):
        return tls.client_context()
    if tls.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise OptionError("this ssl.SSLContext is for servers; a client needs PROTOCOL_TLS_CLIENT")
    return tls


def server_context(tls: TLSOption | None) -> ssl.SSLContext:
    """The context of a listening side.

    Raises ``OptionError`` like ``TLS.server_context``, for ``None`` (a server needs a certificate), and for
    an ``ssl.SSLContext`` made for clients.
    """
    if tls is None:
        return TLS().server_context()
    if isinstance(tls, TLS):
        return tls.server_context()
    if tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise OptionError("this ssl.SSLContext is for clients; a server needs PROTOCOL_TLS_SERVER")
    return tls


@cache
def _system_roots() -> ssl.SSLContext:
    # Kept: reading the system's roots takes tens of milliseconds, and every tls:// connection needs them.
    return TLS().client_context()


def _require_name(name: str) -> None:
    """Raise ``OptionError`` for what the ssl module would refuse later, with an error of its own."""
    try:
        asked = certificate_name(name)
        asked.encode("idna")
    except ValueError as error:
        raise OptionError(f"server_hostname is a host name, not {name!r} ({error})") from error
    if not asked or asked[0] == ".":
        raise OptionError(f"server_hostname is a host name, not {name!r}")


def _require_readable(what: str, path: Path) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise OptionError(f"TLS {what} {os.fspath(path)!r} cannot be read: {error.strerror}") from error
