"""Other protocols that are easily met on the port, by the first bytes of a direction."""

from __future__ import annotations

import re

__all__ = ["foreign"]

_HTTP = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n|HTTP/1\.[01] ")


def foreign(first: bytes) -> str | None:
    """The name of a protocol whose beginning ``first`` surely is, though it has no length prefix.

    As messages these would be: a TLS record, some 20 bytes whose first field has the number 0, which protobuf
    does not have; HTTP/2's preface and HTTP's first lines, which are text from their very first byte on.
    """
    if first.startswith(b"PRI * HTTP/2.0\r\n"):
        return "HTTP/2, as gRPC uses it"
    if _HTTP.match(first):
        return "HTTP"
    if len(first) > 2 and 0x14 <= first[0] <= 0x17 and first[1] == 3 and first[2] <= 4:
        return "TLS, which cannot be read without its keys"
    return None
