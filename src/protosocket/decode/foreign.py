"""Other protocols that are easily met on the port, by the first bytes of a direction."""

from __future__ import annotations

__all__ = ["foreign"]


def foreign(first: bytes) -> str | None:
    """The name of a protocol whose beginning ``first`` surely is, though it has no length prefix.

    As messages these would be: a TLS record, 22 bytes whose first field has the number 0, which protobuf
    does not have; HTTP/2's preface and an HTTP request, texts too long to be met by chance.
    """
    line = first.partition(b"\r\n")[0]
    if line == b"PRI * HTTP/2.0":
        return "HTTP/2, as gRPC uses it"
    if line.startswith(b"HTTP/1.") or line.endswith((b" HTTP/1.0", b" HTTP/1.1")):
        return "HTTP"
    if first[:2] == b"\x16\x03" and first[2:3] <= b"\x04":
        return "TLS, which cannot be read without its keys"
    return None
