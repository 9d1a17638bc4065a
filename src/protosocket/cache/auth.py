"""Who may use a server: a list of tokens, which may only be missing where nobody else can connect."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from protosocket.cache.grpc_address import parse_grpc_address
from protosocket.connection import parse_address
from protosocket.errors import OptionError

__all__ = ["TokenPolicy", "read_tokens", "require_tokens"]


class TokenPolicy:
    """Accepts the given tokens, or, given none, everybody.

    Raises ``OptionError`` for an empty token. ``repr`` does not show them.
    """

    __slots__ = ("_tokens",)

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens = tuple(token.encode() for token in tokens)
        if not all(self._tokens):
            raise OptionError("a token cannot be empty")

    @property
    def required(self) -> bool:
        """Whether a token has to be shown at all."""
        return bool(self._tokens)

    def accepts(self, token: str | bytes) -> bool:
        """Whether ``token`` is in the list; the time it takes does not tell how much of it was right."""
        if not self._tokens:
            return True
        shown = token.encode() if isinstance(token, str) else token
        # Every token is compared, so that the time does not tell which of them came close either.
        matches = [hmac.compare_digest(known, shown) for known in self._tokens]
        return any(matches)


def require_tokens(listen_address: str, tokens: TokenPolicy) -> None:
    """Raise ``OptionError`` if others than this machine could use ``listen_address`` without a token.

    ``listen_address`` is a URL: tcp, tls, grpc or unix. Loopback addresses, ``localhost`` and Unix sockets
    are open to this machine only. Raises ``AddressError`` if it is no such URL.
    """
    if tokens.required or _only_local(listen_address):
        return
    raise OptionError(
        f"{listen_address} can be reached by other machines, so tokens are needed: "
        "give a token file, or listen on 127.0.0.1, [::1] or a Unix socket"
    )


def read_tokens(path: Path) -> list[str]:
    """The tokens in a file, one a line; empty lines and lines that start with ``#`` do not count.

    It is UTF-8; a byte-order mark, which some editors write, does not belong to the first token.
    Raises ``OptionError`` if there is none in it or it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the token file {path} cannot be read: {error}") from error
    tokens = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not tokens:
        raise OptionError(f"there is no token in the file {path}")
    return tokens


def _only_local(url: str) -> bool:
    if url.lower().startswith("grpc://"):
        host = parse_grpc_address(url).host
    else:
        address = parse_address(url)
        if address.scheme == "unix":
            return True
        host = address.host
    if host.removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
