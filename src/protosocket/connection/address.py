"""Addresses: where a connection goes or a listener stands, as a URL and as its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, cast

from protosocket.connection.host import canonical_host
from protosocket.errors import AddressError

__all__ = ["Address", "Scheme", "parse_address"]

Scheme = Literal["tcp", "tls", "unix", "memory"]

_EXPECTED = "expected tcp://host:port, tls://host:port, unix:///path or memory://name"
_NOT_IN_A_NAME = re.compile(r"[\s\x00-\x1f\x7f/\\?#@\[\]]")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """One address; ``str()`` gives its URL, which ``parse_address`` reads back as the same address.

    ``host`` (a name or an IP address, IPv6 without brackets, in the one spelling of all the ways to write it)
    and ``port`` (0 to 65535; 0 lets the system choose one for a listener) belong to ``tcp`` and ``tls``,
    ``path`` to ``unix``, and to ``memory``, where it is the name.
    Raises ``AddressError`` when the parts do not make an address.
    """

    scheme: Scheme
    host: str = ""
    port: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        if self.scheme == "unix":
            if not self.path or "\0" in self.path:
                raise AddressError(
                    f"{str(self)!r}: the path of a Unix socket is missing; write unix:///run/x.sock"
                )
            if self.host or self.port:
                raise AddressError(f"{str(self)!r}: a unix address has a path, no host and no port")
            return
        if self.scheme == "memory":
            if not self.path or _NOT_IN_A_NAME.search(self.path):
                raise AddressError(f"{str(self)!r}: {self.path!r} is not a name; write memory://name")
            if self.host or self.port:
                raise AddressError(f"{str(self)!r}: a memory address has a name, no host and no port")
            return
        if self.scheme not in ("tcp", "tls"):
            raise AddressError(f"{str(self)!r}: unknown scheme {self.scheme!r}; {_EXPECTED}")
        if self.path:
            raise AddressError(f"{str(self)!r}: a {self.scheme} address has a host and a port, no path")
        if not 0 <= self.port <= 65535:
            raise AddressError(f"{str(self)!r}: the port is 0 to 65535, not {self.port}")
        object.__setattr__(self, "host", self._canonical_host())

    def __str__(self) -> str:
        if self.scheme in ("unix", "memory"):
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def place(self) -> Address:
        """Where it leads, which is the same for ``host.example`` and ``host.example.``.

        A name of one part is not the same with a dot at its end, which keeps it out of search domains;
        ``localhost`` is.
        """
        name = self.host.removesuffix(".")
        return replace(self, host=name) if "." in name or name == "localhost" else self

    def _canonical_host(self) -> str:
        if not self.host:
            raise AddressError(f"{str(self)!r}: the host is missing; 0.0.0.0 and [::] listen everywhere")
        try:
            return canonical_host(self.host)
        except ValueError as error:
            raise AddressError(f"{str(self)!r}: {error}") from None


def parse_address(url: str) -> Address:
    """The address that ``url`` names.

    ``tcp://host:port``, ``tls://host:port`` (an IPv6 address in brackets: ``tcp://[::1]:9000``),
    ``unix:///absolute/path`` or ``unix://relative/path``. A path is taken as it stands: no escapes, no query.
    ``memory://name`` is for tests and for parts of one program: it connects within one event loop.
    Upper and lower case are the same in schemes and hosts; an international name becomes its ``xn--`` form;
    a link-local address has its interface behind it: ``tcp://[fe80::1%eth0]:9000``.
    Raises ``AddressError``, whose text says which part is wrong and what is expected.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        hint = f"; did you mean tcp://{url}?" if re.fullmatch(r"\S+:[0-9]+", url) else f"; {_EXPECTED}"
        raise AddressError(f"{url!r} has no scheme{hint}")
    scheme = scheme.lower()
    if scheme in ("unix", "memory"):
        return Address(cast(Scheme, scheme), path=rest)
    if scheme not in ("tcp", "tls"):
        raise AddressError(f"{url!r}: unknown scheme {scheme!r}; {_EXPECTED}")
    for character, part in (("?", "a query"), ("#", "a fragment"), ("/", "a path"), ("@", "a user")):
        if character in rest:
            raise AddressError(f"{url!r}: a {scheme} address cannot have {part}; {_EXPECTED}")
    host, port = _split_host(url, scheme, rest)
    return Address(cast(Scheme, scheme), host, port)


def _split_host(url: str, scheme: str, rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise AddressError(f"{url!r}: an IPv6 address stands in brackets; write {scheme}://[::1]:9000")
        if ":" not in host:
            raise AddressError(f"{url!r}: only an IPv6 address stands in brackets, {host!r} is none")
        port = port[1:]
    else:
        host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
        if ":" in host:
            raise AddressError(f"{url!r}: an IPv6 address stands in brackets; write {scheme}://[::1]:9000")
    if not port:
        raise AddressError(f"{url!r}: the port is missing; write {scheme}://{host or 'host'}:9000")
    if not _PORT.fullmatch(port):
        raise AddressError(f"{url!r}: the port is a number from 0 to 65535, not {port!r}")
    return host, int(port)
