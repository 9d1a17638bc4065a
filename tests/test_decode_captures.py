"""``protosocket decode`` of captures: all that TCP may legally do."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoding import decode_packets, ids, request, response, run_decode, said
from tests.packets import ACK, FIN, LINKS, PSH, RST, SYN, Ends, Host, fragments, ip, pcap, pcapng

DATA = PSH | ACK


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "a.pcap"


# Captures that begin in the middle.


@pytest.mark.parametrize("probe", [b"", b"\0"], ids=["empty", "with a byte"])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("times", [1, 3])
def test_a_keepalive_probe_comes_first(capture: Path, probe: bytes, answered: bool, times: int) -> None:
    ends, content = Ends(), request(7)
    packets = []
    for _ in range(times):
        packets.append(ends.packet("server", -1, probe))
        packets += [ends.packet("client", 0)] * answered
    for number in range(2):
        packets.append(ends.packet("server", number * len(content), content, DATA))
        ends.reached["client"] += len(content)
        packets += [ends.packet("client", 0)] * answered
    assert said(decode_packets(capture, packets)) == [("request", 7)] * 2
    assert decode_packets(capture, packets).messages[0]["joined"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_probe_of_a_server_comes_first(capture: Path, answered: bool) -> None:
    ends = Ends()
    packets = [ends.packet("client", -1, b"\0"), ends.packet("server", 0), ends.packet("client", -1)]
    packets.append(ends.packet("client", 0, response(1, 2), DATA))
    packets += [ends.packet("server", 0, acknowledge=len(response(1, 2)))] * answered
    assert said(decode_packets(capture, packets)) == [("response", 1), ("response", 2)]


def test_what_is_sent_again_comes_first(capture: Path) -> None:
    """Its acknowledgement was lost, so the capture begins with bytes that were there before."""
    ends = Ends()
    packets = [ends.packet("client", 0), ends.packet("server", -9, b"old bytes", DATA)]
    packets += [ends.packet("client", 0), ends.packet("server", -4, b"ytes" + request(3), DATA)]
    assert said(decode_packets(capture, packets)) == [("request", 3)]


def test_a_message_has_the_time_of_the_segment_that_completes_it(capture: Path) -> None:
    """Not of the acknowledgement that shows where a connection, joined in the middle, goes on."""
    ends, content = Ends(), request(7)
    packets = [ends.packet("server", 0, content, DATA)]
    ends.reached["client"] += len(content)
    packets += [ends.packet("client", 0), ends.packet("client", 0, response(7), DATA)]
    first, second = decode_packets(capture, packets).messages
    # A millisecond between any two packets.
    assert [first["time"], second["time"]] == [1_700_000_000.0, 1_700_000_000.002]
    assert second["elapsed_ms"] == pytest.approx(2, abs=0.001)


def test_a_message_whose_segments_come_late_has_the_time_of_the_last(capture: Path) -> None:
    ends, content = Ends(), request(7)
    pieces = [ends.packet("server", at, content[at : at + 5], DATA) for at in range(0, len(content), 5)]
    ends.reached["client"] += len(content)
    (message,) = decode_packets(capture, [*reversed(pieces), ends.packet("client", 0)]).messages
    assert message["time"] == 1_700_000_000 + (len(pieces) - 1) / 1000


def test_the_first_segments_are_out_of_order(capture: Path) -> None:
    ends, content = Ends(), request(1, 2, 3)
    pieces = [ends.packet("server", at, content[at : at + 11], DATA) for at in range(0, len(content), 11)]
    ends.reached["client"] = len(content)
    assert said(decode_packets(capture, [*reversed(pieces), ends.packet("client", 0)])) == [
        ("request", number) for number in (1, 2, 3)
    ]


def test_what_was_under_way_when_the_capture_began_is_not_missed(capture: Path) -> None:
    ends = Ends()
    first = [ends.packet("client", 0), ends.packet("server", 99, request(5), DATA)]
    ends.reached["client"] = 99 + len(request(5))
    assert said(decode_packets(capture, [*first, *[ends.packet("client", 0)] * 2])) == [("request", 5)]


def test_one_direction_alone(capture: Path) -> None:
    """As many bytes as there may be: it is known at last that nobody acknowledges them."""
    ends, at, packets = Ends(), 0, []
    for number in range(100):
        content = request(number, key=bytes(1000))
        packets.append(ends.packet("server", at, content, DATA))
        at += len(content)
    assert said(decode_packets(capture, packets)) == [("request", number) for number in range(100)]


def test_the_direction_that_was_not_captured_is_missed(capture: Path) -> None:
    ends, packets = Ends(), []
    for number in range(3):
        ends.reached["client"] += 100
        packets.append(ends.packet("client", number * len(response(1)), response(number + 1), DATA))
    decoded = decode_packets(capture, packets)
    assert ids(decoded) == [1, 2, 3]
    assert decoded.problems == [("gap", 0, 200)]
    assert [record["direction"] for record in decoded.records if "problem" in record] == ["request"]


# How connections begin and end.


def test_a_half_open_port_is_used_again(capture: Path) -> None:
    """RFC 9293, 3.5.1: the client has forgotten the connection, the server has not."""
    old, new = Ends(), Ends(client=0x80001234, server=77)
    packets = [*old.open(), old.packet("server", 0, request(1), DATA)]
    old.reached["client"] = len(request(1))
    packets += [old.packet("client", 0, response(1), DATA)]
    packets += [new.packet("server", -1, flags=SYN), old.packet("client", len(response(1)))]
    packets += [old.packet("server", len(request(1)), flags=RST), new.packet("server", -1, flags=SYN)]
    packets += new.open()[1:]
    packets += [new.packet("server", 0, request(2), DATA), new.packet("client", 0, response(2), DATA)]
    decoded = decode_packets(capture, packets)
    assert said(decoded) == [(d, number) for number in (1, 2) for d in ("request", "response")]
    assert [message["connection"] for message in decoded.messages] == [1, 1, 2, 2]
    assert "1 whose sequence numbers fit no connection" in decoded.errors


def test_a_port_is_used_again_after_the_end_without_a_syn(capture: Path) -> None:
    old, new = Ends(), Ends(client=0x40000000, server=0x90000000)
    packets = [*old.open(), old.packet("server", 0, request(1), DATA)]
    packets.append(old.packet("server", len(request(1)), flags=FIN | ACK))
    old.reached["client"] = len(request(1)) + 1
    packets += [old.packet("client", 0, flags=FIN | ACK), new.packet("server", 0, request(2), DATA)]
    assert said(decode_packets(capture, packets)) == [("request", 1), ("request", 2)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_handshake_in_any_order(capture: Path, order: tuple[int, ...]) -> None:
    """As captures on several processors have it; every packet may come twice."""
    ends = Ends(client=0xFFFFFFFE, server=0)
    packets = [packet for at in order for packet in [ends.open()[at]] * 2]
    packets.append(ends.packet("server", 0, request(1), DATA))
    ends.reached["client"] = len(request(1))
    decoded = decode_packets(capture, [*packets, ends.packet("client", 0, response(1), DATA)])
    assert said(decoded) == [("request", 1), ("response", 1)]
    assert len({message["connection"] for message in decoded.messages}) == 1


def test_both_ends_open_at_once(capture: Path) -> None:
    ends = Ends()
    packets = [ends.packet("server", -1, flags=SYN), ends.packet("client", -1, flags=SYN)]
    packets += [ends.packet("client", -1, flags=SYN | ACK), ends.packet("server", -1, flags=SYN | ACK)]
    packets.append(ends.packet("server", 0, request(1), DATA))
    decoded = decode_packets(capture, packets)
    assert said(decoded) == [("request", 1)]
    assert not decoded.messages[0]["joined"]


def test_bytes_with_the_syn(capture: Path) -> None:
    """TCP Fast Open, RFC 7413; what the server did not take is sent again."""
    ends = Ends()
    packets = [ends.packet("server", -1, request(1), SYN), *ends.open()[1:]]
    packets.append(ends.packet("server", 0, request(1, 2), DATA))
    assert said(decode_packets(capture, packets)) == [("request", 1), ("request", 2)]


def test_a_refused_connection_is_tried_again(capture: Path) -> None:
    first, second = Ends(client=9), Ends(client=70000)
    refusal = first.segment("client", 0, flags=RST | ACK)
    packets = [first.packet("server", -1, flags=SYN), ip(4, refusal, to="client")]
    packets += [*second.open(), second.packet("server", 0, request(1), DATA)]
    assert said(decode_packets(capture, packets)) == [("request", 1)]


def test_a_reset_says_nothing_of_the_stream(capture: Path) -> None:
    """Its numbers may be anything, and it may carry a text (RFC 9293, 3.5.3)."""
    ends = Ends()
    packets = [ends.packet("server", 12345, b"who are you", RST | ACK), *ends.open()]
    packets += [ends.packet("server", 1 << 20, b"no listener", RST)]
    packets += [ends.packet("server", 0, request(1), DATA), ends.packet("client", 1 << 29, flags=RST)]
    assert said(decode_packets(capture, packets)) == [("request", 1)]


# Anything at once.


class Conversation:
    """The packets of a conversation that the network disturbs in every way that TCP makes up for."""

    def __init__(self, chance: Random, ends: Ends, *, joined: bool) -> None:
        self._chance = chance
        self._ends = ends
        self._identifications = itertools.count()
        self._sent: dict[Host, bytes] = {"client": b"", "server": b""}
        self.packets: list[bytes] = [] if joined else self._opening()

    def say(self, by: Host, content: bytes) -> None:
        """One end sends ``content``, and the other has all of it in the end."""
        chance, to = self._chance, _other(by)
        start = len(self._sent[by])
        whole = self._sent[by] + content
        if chance.random() < 0.4:  # a keepalive, which is answered
            probe = self._ends.packet(to, start - 1, chance.choice([b"", b"\0"]))
            self.packets += [probe] * chance.randrange(1, 3) + [self._ends.packet(by, len(self._sent[to]))]
        if chance.random() < 0.3:  # the receiver has no room: Linux and BSD ask differently
            self._add(to, *chance.choice([(start - 1, b""), (start, content[:1])]), ACK)
        cuts = sorted({start, len(whole), *(chance.randrange(start, len(whole)) for _ in range(4))})
        flight = [(at, whole[at:end]) for at, end in itertools.pairwise(cuts)]
        for _ in range(chance.randrange(3)):  # what is sent again is cut otherwise
            at = chance.randrange(len(whole))
            flight.append((at, whole[at : chance.randrange(at, len(whole)) + 1]))
        chance.shuffle(flight)
        arrived = start
        there: dict[int, int] = {}
        for at, piece in flight:
            self._add(to, at, piece, DATA if len(piece) == 1 or chance.random() < 0.5 else ACK)
            there[at] = max(there.get(at, 0), at + len(piece))
            arrived = max([arrived, *(end for begin, end in there.items() if begin <= arrived)])
            if chance.random() < 0.5:
                self._ends.reached[by] = arrived
                self._add(by, len(self._sent[to]), b"", ACK)
        self._sent[by] = whole
        self._ends.reached[by] = len(whole)

    def close(self) -> None:
        """Both ends close; the last acknowledgement is lost at first."""
        for by in ("client", "server"):
            to = _other(by)
            closing = self._ends.packet(to, len(self._sent[by]), flags=FIN | ACK)
            self._ends.reached[by] += 1
            self.packets += [closing] * 2 + [self._ends.packet(by, len(self._sent[to]))]

    def _add(self, to: Host, offset: int, payload: bytes, flags: int) -> None:
        chance, ends = self._chance, self._ends
        segment = ends.segment(to, offset, payload, flags, b"\1\1\1\0" * chance.randrange(3))
        if len(segment) > 40 and chance.random() < 0.2:
            cuts = sorted({8 * chance.randrange(1, len(segment) // 8) for _ in range(3)})
            made = fragments(ends.version, segment, cuts, to, next(self._identifications))
            chance.shuffle(made)
            for fragment in made:
                self.packets += [fragment] * chance.choice([1, 1, 1, 2])
        else:
            extra = b"" if ends.version == 6 else b"\1\1\1\0" * chance.randrange(3)
            packet = ip(ends.version, segment, to=to, extra=extra)
            self.packets += [packet] * chance.choice([1, 1, 1, 2])

    def _opening(self) -> list[bytes]:
        syn, answer, last = self._ends.open()
        return [syn] * self._chance.randrange(1, 3) + [answer] * self._chance.randrange(1, 3) + [last]


def _other(host: Host) -> Host:
    return "client" if host == "server" else "server"


@settings(max_examples=150, deadline=None)
@given(
    chance=st.randoms(use_true_random=False),
    isn=st.tuples(*[st.integers(0, 0xFFFFFFFF) | st.integers(0xFFFFFF00, 0xFFFFFFFF)] * 2),
    version=st.sampled_from([4, 6]),
    joined=st.booleans(),
    link=st.sampled_from(sorted(LINKS)),
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6),
)
def test_a_disturbed_conversation_says_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    chance: Random,
    isn: tuple[int, int],
    version: int,
    joined: bool,
    link: str,
    sizes: list[int],
) -> None:
    ends = Ends(*isn, version=version)
    conversation = Conversation(chance, ends, joined=joined)
    expected = []
    for number, size in enumerate(sizes):
        by: Host = chance.choice(["client", "server"])
        conversation.say(
            by, request(number, key=bytes(size)) if by == "client" else response(*range(number, number + 2))
        )
        if by == "client":
            expected.append(("request", number))
        else:
            expected += [("response", number), ("response", number + 1)]
    if chance.random() < 0.5:
        conversation.close()
    packets = conversation.packets
    if not joined:  # captures on several processors may have neighbours the wrong way round
        for at in range(0, len(packets) - 1, 2):
            if chance.random() < 0.2:
                packets[at], packets[at + 1] = packets[at + 1], packets[at]
    number, around = LINKS[link]
    path = tmp_path_factory.getbasetemp() / "any.capture"
    match chance.randrange(3):
        case 0:
            path.write_bytes(
                pcap(
                    [around(packet) for packet in packets],
                    number,
                    order=chance.choice("<>"),
                    nano=chance.random() < 0.5,
                )
            )
        case 1:
            path.write_bytes(pcap([around(packet) for packet in packets], number, modified=True))
        case _:
            other = chance.choice(sorted(LINKS))
            frames = [(chance.choice([link, other]), packet) for packet in packets]
            path.write_bytes(pcapng(frames, order=chance.choice("<>")))
    decoded = run_decode(path, "--cache", "--json")
    assert sorted(said(decoded)) == sorted(expected)
    for direction in ("request", "response"):
        assert [m for m in said(decoded) if m[0] == direction] == [m for m in expected if m[0] == direction]
