"""The TLS options of the programs: certificates to show, and whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from protosocket.connection import TLS, TLSOption
from protosocket.errors import OptionError

__all__ = ["client_tls", "file_option", "server_tls", "with_server_tls"]

_Command = Callable[..., None]


def file_option(name: str, help: str) -> Callable[[_Command], _Command]:
    """An option that names a file; whether it can be read is found out when it is."""
    return click.option(name, type=click.Path(path_type=Path, dir_okay=False), help=help)


def with_server_tls(function: _Command) -> _Command:
    """Add ``--tls-cert`` and ``--tls-key``, which are handed to ``server_tls``."""
    function = file_option("--tls-key", "Its private key, if that is not in the same file.")(function)
    return file_option("--tls-cert", "The certificate to show where --listen is a tls:// URL.")(function)


def server_tls(listen: str | None, cert: Path | None, key: Path | None) -> TLSOption | None:
    """The settings of a listener on ``listen``, ``None`` where it has no TLS; reads the files.

    Raises ``OptionError`` for files that cannot be used, and for options that do not fit ``listen``.
    """
    if listen is None or not _is_tls(listen):
        if cert is not None or key is not None:
            raise OptionError(
                f"--tls-cert and --tls-key are for --listen tls://..., not for {listen or 'gRPC'}"
            )
        return None
    if cert is None:
        raise OptionError(f"to listen on {listen} a certificate is needed: --tls-cert FILE")
    return TLS(certificate=cert, key=key).server_context()


def client_tls(option: str, urls: list[str], ca: Path | None, *, insecure: bool = False) -> TLS | None:
    """The settings of connections to ``urls``, ``None`` for the defaults; tries the file.

    ``option`` is how the user says ``ca``. Raises ``OptionError`` for a file that cannot be used, for options
    that contradict each other, and if one of the URLs has no TLS.
    """
    if ca is None and not insecure:
        return None
    if ca is not None and insecure:
        raise OptionError(f"{option} says whom to trust and --tls-insecure to trust anybody: choose one")
    for url in urls:
        if not _is_tls(url):
            raise OptionError(f"{option if ca else '--tls-insecure'} is for tls:// addresses, not for {url}")
    tls = TLS(ca=ca, verify=not insecure)
    # A program that can do nothing without the file should say so before it starts.
    tls.client_context()
    return tls


def _is_tls(url: str) -> bool:
    return url.lower().startswith("tls://")
