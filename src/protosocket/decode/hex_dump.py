"""Bytes from a hex dump: as ``xxd`` and ``hexdump -C`` print them, or nothing but hex digits."""

from __future__ import annotations

import re

from protosocket.errors import OptionError

__all__ = ["read_hex"]

# The bytes end at two spaces, where the column of characters begins. Nothing is given back (+): a long run of
# digits can be divided in too many ways to try them all, and what is no hex would become characters.
_XXD = re.compile(r"([0-9a-fA-F]{1,16}): ?+((?:[0-9a-fA-F]{2,}+ ?+)*+)(?: .*)?")
_HEXDUMP = re.compile(r"([0-9a-fA-F]{1,16}) {2}((?:[0-9a-fA-F]{2} {1,2}+)*+) *+\|.*\|")
_OFFSET = re.compile(r"[0-9a-fA-F]{7,16}")
_REPEATED = "*"
# Bytes that stars may stand for in all: what is read must not grow beyond what was given.
_MOST_REPEATED = 256 * 1024 * 1024


def read_hex(text: str) -> bytes:
    """The bytes of a dump, whose kind its first line tells; ``*`` repeats the line before it.

    Raises ``OptionError``, naming the line, for what is no hex and for offsets that show a missing line.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    first = lines[0][1] if lines else ""
    for pattern in (_XXD, _HEXDUMP):
        if pattern.fullmatch(first):
            return _dump(lines, pattern)
    content = bytearray()
    for number, line in lines:
        try:
            content += bytes.fromhex(line)
        except ValueError:
            raise OptionError(f"line {number} is no hex: {_short(line)}") from None
    return bytes(content)


def _dump(lines: list[tuple[int, str]], pattern: re.Pattern[str]) -> bytes:
    content = bytearray()
    start: int | None = None
    last = b""
    repeated = False
    stars = 0
    for number, line in lines:
        if line == _REPEATED:
            repeated = True
            continue
        match = pattern.fullmatch(line)
        if match is None and _OFFSET.fullmatch(line) is None:
            raise OptionError(f"line {number} is no line of such a hex dump: {_short(line)}")
        offset = int(match[1] if match else line, 16)
        start = offset if start is None else start
        missing = offset - start - len(content)
        if repeated and last and missing > 0 and missing % len(last) == 0:
            stars += missing
            if stars > _MOST_REPEATED:
                raise OptionError(
                    f"line {number} comes after a * for {missing} bytes; "
                    f"all stars together stand for {_MOST_REPEATED} at most"
                )
            content += last * (missing // len(last))
        elif missing or repeated:
            raise OptionError(f"line {number} has the offset {offset:#x}, expected {start + len(content):#x}")
        repeated = False
        if match:
            try:
                last = bytes.fromhex(match[2])
            except ValueError:
                raise OptionError(f"line {number} is no hex: {_short(line)}") from None
            content += last
    if repeated:
        raise OptionError("the dump ends with *, so how much was left out is unknown")
    return bytes(content)


def _short(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:60] + "...")
