"""A connection is used before it was opened."""

from __future__ import annotations

import protosocket
from protosocket import codecs


async def main() -> None:
    connection = protosocket.connect("tcp://127.0.0.1:7300", codecs.Lines())
    await connection.send("hello")  # error: attr-defined, reportAttributeAccessIssue
    async for message in connection:  # error: attr-defined, reportGeneralTypeIssues
        print(message)
