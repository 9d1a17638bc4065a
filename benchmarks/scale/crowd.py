"""Plain sockets that a server has to keep: the program ``python -m benchmarks.scale.crowd``.

Its arguments are URL, COUNT, MESSAGE, ANSWER and BURST. Each socket sends MESSAGE (hex, as it is on the wire)
and takes an answer of ANSWER bytes; then ``ready`` is printed. A line on the standard input makes each do
that BURST times at once, and ``ready`` is printed again. It ends with its input.
"""

from __future__ import annotations

import os
import socket
import sys

from benchmarks.client import host_and_port

__all__ = ["main"]


def main() -> None:
    """Connect, and do what the standard input says."""
    url, count, message, answer, burst = sys.argv[1:]
    crowd = []
    for _ in range(int(count)):
        member = socket.create_connection(host_and_port(url))
        exchange(member, bytes.fromhex(message), int(answer))
        crowd.append(member)
    os.write(1, b"ready\n")
    for _ in sys.stdin:
        for member in crowd:
            exchange(member, bytes.fromhex(message) * int(burst), int(answer) * int(burst))
        os.write(1, b"ready\n")


def exchange(member: socket.socket, message: bytes, answer: int) -> None:
    """Send ``message`` and take ``answer`` bytes."""
    if not message:
        return
    member.sendall(message)
    while answer > 0:
        received = len(member.recv(answer))
        if not received:
            raise ConnectionResetError("the server closed a connection")
        answer -= received


if __name__ == "__main__":
    main()
