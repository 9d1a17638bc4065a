"""What IP carries: through extension headers and tunnels, with fragments put together."""

from __future__ import annotations

import struct
from bisect import bisect, insort
from collections import OrderedDict
from dataclasses import dataclass, field

from protosocket.decode.links import by_type
from protosocket.decode.packets import Unread

__all__ = ["Damaged", "Datagram", "Datagrams"]

TCP = 6
_IPV4, _IPV6, _GRE, _FRAGMENT, _AUTHENTICATION = 4, 41, 47, 44, 51
_OPTIONS = {0, 43, 60, 135, 139, 140}  # IPv6's extension headers that begin alike

# Bytes of fragments that wait for others of theirs; the oldest are given up. Linux has 4 MiB.
_MOST_WAITING = 16 << 20
# What a waiting fragment costs beside its bytes.
_EACH = 200
# So many whole datagrams are remembered, so that fragments that come again are known as theirs.
_MOST_WHOLE = 4096


class Damaged(Exception):
    """A header that no sender writes."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """``size`` bytes sent from one host to another, of which ``payload`` has the captured ones."""

    source: bytes
    target: bytes
    payload: bytes
    size: int


@dataclass(frozen=True, slots=True)
class _Part:
    """What an IP header carries; its ``size`` is 0 where segmentation offload left it out."""

    source: bytes
    target: bytes
    protocol: int
    payload: memoryview
    size: int
    fragment: tuple[int, int, bool] | None = None
    """Which datagram it is of, where it begins there, and whether more follows."""


_Key = tuple[bytes, bytes, int, int]


@dataclass(slots=True)
class _Waiting:
    """Fragments of one datagram, sorted by their beginnings: each is where it begins, its size, its bytes."""

    parts: list[tuple[int, int, bytes]] = field(default_factory=list)
    size: int = 0
    total: int | None = None
    protocol: int = 0
    cost: int = 0
    again: bool = False
    """It was whole before: a capture of several interfaces has every packet several times."""


class Datagrams:
    """Takes IP packets, gives what they carry; keeps fragments until they are whole."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._whole_ones: OrderedDict[_Key, None] = OrderedDict()
        self._cost = 0
        self.given_up = 0
        """Fragments whose others did not come, or contradicted them."""

    def take(self, packet: memoryview, missing: int) -> Datagram | None:
        """The TCP segment in ``packet``, of which the capture cut off ``missing`` bytes.

        None if it is a fragment and others must come. Raises ``Unread`` for other protocols, ``Damaged`` for
        headers that cannot be, and ``struct.error`` or ``IndexError`` if the packet ends within one.
        """
        while True:
            part = _ip(packet, missing)
            if part.fragment is not None:
                whole = self._whole(part, *part.fragment)
                if whole is None:
                    return None
                part = whole
            missing = part.size - len(part.payload)
            if part.protocol == TCP:
                return Datagram(part.source, part.target, bytes(part.payload), part.size)
            if part.protocol in (_IPV4, _IPV6):
                packet = part.payload
            elif part.protocol == _GRE:
                packet = _within_gre(part.payload)
            else:
                raise Unread("that are not TCP")

    def finish(self) -> None:
        """No more packets will come."""
        for key in list(self._waiting):
            self._drop(key)

    def _whole(self, part: _Part, identification: int, offset: int, more: bool) -> _Part | None:
        if (more and part.size % 8) or offset + part.size > 0xFFFF:
            raise Damaged
        key = part.source, part.target, identification, len(part.source)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(again=key in self._whole_ones)
        if not offset:
            waiting.protocol = part.protocol  # in IPv6 that of the others is the first one's, too
        if not _add(waiting, offset, part.size, bytes(part.payload), last=not more):
            # Overlapping fragments are an attack (RFC 5722), and receivers drop all of them.
            self._drop(key)
            return None
        cost = len(part.payload) + _EACH
        waiting.cost += cost
        self._cost += cost
        while self._cost > _MOST_WAITING:
            self._drop(next(iter(self._waiting)))
        if waiting.total != waiting.size:
            return None
        del self._waiting[key]
        self._cost -= waiting.cost
        self._whole_ones[key] = None
        if len(self._whole_ones) > _MOST_WHOLE:
            self._whole_ones.popitem(last=False)
        content = memoryview(_joined(waiting.parts))
        return _Part(part.source, part.target, waiting.protocol, content, waiting.size)

    def _drop(self, key: _Key) -> None:
        dropped = self._waiting.pop(key)
        self._cost -= dropped.cost
        self.given_up += 0 if dropped.again else len(dropped.parts)


def _add(waiting: _Waiting, offset: int, size: int, payload: bytes, *, last: bool) -> bool:
    """Put a fragment to the others; false if it lies over one of them or beyond the end."""
    parts = waiting.parts
    at = bisect(parts, (offset, size, payload))
    if any(part[:2] == (offset, size) for part in parts[max(at - 1, 0) : at + 1]):
        return True  # it came twice
    before = at and sum(parts[at - 1][:2]) > offset
    after = at < len(parts) and offset + size > parts[at][0]
    if last:
        waiting.total = offset + size
    over = waiting.total is not None and (sum(parts[-1][:2]) if parts else 0) > waiting.total
    if before or after or over or (waiting.total is not None and offset + size > waiting.total):
        return False
    insort(parts, (offset, size, payload))
    waiting.size += size
    return True


def _joined(parts: list[tuple[int, int, bytes]]) -> bytes:
    """The bytes up to the first that was not captured."""
    content = bytearray()
    for _, size, payload in parts:
        content += payload
        if len(payload) < size:
            break
    return bytes(content)


def _ip(packet: memoryview, missing: int) -> _Part:
    version = packet[0] >> 4
    if version == 4:
        return _ip4(packet, missing)
    if version == 6:
        return _ip6(packet, missing)
    raise Damaged


def _ip4(packet: memoryview, missing: int) -> _Part:
    start = (packet[0] & 15) * 4
    total, identification, flags, _, protocol = struct.unpack_from("!HHHBB", packet, 2)
    source, target = bytes(packet[12:16]), bytes(packet[16:20])
    if len(target) < 4:
        raise IndexError
    if start < 20 or 0 < total < start:
        raise Damaged
    size = total - start if total else max(len(packet) + missing - start, 0)
    payload = packet[start : start + size]
    offset = (flags & 0x1FFF) * 8
    more = bool(flags & 0x2000)
    fragment = (identification, offset, more) if offset or more else None
    part = _Part(source, target, protocol, payload, size, fragment)
    if protocol == _AUTHENTICATION and fragment is None:
        return _after(part, payload[0], (payload[1] + 2) * 4)
    return part


def _after(part: _Part, protocol: int, header: int) -> _Part:
    if header > part.size:
        raise Damaged
    return _Part(part.source, part.target, protocol, part.payload[header:], part.size - header)


def _ip6(packet: memoryview, missing: int) -> _Part:
    size, protocol = struct.unpack_from("!HB", packet, 4)
    source, target = bytes(packet[8:24]), bytes(packet[24:40])
    if len(target) < 16:
        raise IndexError
    size = size or max(len(packet) + missing - 40, 0)
    part = _Part(source, target, protocol, packet[40 : 40 + size], size)
    while True:
        payload = part.payload
        if part.protocol in _OPTIONS:
            part = _after(part, payload[0], (payload[1] + 1) * 8)
        elif part.protocol == _AUTHENTICATION:
            part = _after(part, payload[0], (payload[1] + 2) * 4)
        elif part.protocol == _FRAGMENT:
            following, place, identification = struct.unpack_from("!BxHI", payload)
            offset, more = place & 0xFFF8, bool(place & 1)
            part = _after(part, following, 8)
            if offset or more:
                fragment = identification, offset, more
                return _Part(source, target, following, part.payload, part.size, fragment)
        else:
            return part


def _within_gre(data: memoryview) -> memoryview:
    flags, kind = struct.unpack_from("!HH", data)
    if flags & 7 or flags & 0x4000:  # another version, or routes, which nobody uses
        raise Unread("that are not TCP")
    fields = sum(bool(flags & bit) for bit in (0x8000, 0x2000, 0x1000))  # checksum, key, sequence number
    return by_type(kind, data[4 + 4 * fields :])
