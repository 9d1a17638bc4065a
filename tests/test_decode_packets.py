"""``protosocket decode`` of captures: every link, file and IP packet, and what is left out of them."""

from __future__ import annotations

import fcntl
import itertools
import json
import signal
import struct
import subprocess
import sys
import termios
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoding import decode_packets, ids, request, response, run_decode, said
from tests.packets import ACK, LINKS, PSH, SYN, Ends, fragments, ip, options, pcap, pcapng
from tests.patience import HANG

DATA = PSH | ACK


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "a.pcap"


# Links and files.


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("link", LINKS)
def test_every_link_with_every_tag(capture: Path, link: str, version: int) -> None:
    ends = Ends(version=version)
    number, around = LINKS[link]
    packets = [*ends.open(), ends.packet("server", 0, request(7), DATA)]
    decoded = decode_packets(capture, [around(packet) for packet in packets], link=number)
    assert said(decoded) == [("request", 7)]
    assert decoded.errors == ""
    assert decoded.messages[0]["server"] == ("10.0.0.2:7300" if version == 4 else "[fd00::2]:7300")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["micro", "nano", "modified", "pcapng"])
def test_every_file(capture: Path, order: str, kind: str) -> None:
    ends = Ends()
    packets = [*ends.open(), ends.packet("server", 0, request(7), DATA)]
    if kind == "pcapng":
        names = ["raw", "qinq, cooked", "cooked 2", "vlan"]
        capture.write_bytes(pcapng(list(zip(names, packets, strict=True)), order=order))
    else:
        capture.write_bytes(pcap(packets, order=order, nano=kind == "nano", modified=kind == "modified"))
    decoded = run_decode(capture, "--cache", "--json")
    assert said(decoded) == [("request", 7)]
    assert decoded.messages[0]["time"] == pytest.approx(1_700_000_000.003, abs=1e-6)


def test_sections_of_a_pcapng_file(capture: Path) -> None:
    """Each has its order of bytes and its interfaces; between packets there is what nobody asked for."""
    ends = Ends()
    first = pcapng([("raw", packet) for packet in ends.open()])
    other = struct.pack("<II8sI", 0xBAD, 20, b"whatever", 20) + struct.pack("<III", 9, 12, 12)
    last = pcapng([("vlan, cooked", ends.packet("server", 0, request(7), DATA))], order=">")
    capture.write_bytes(first + other + last)
    assert said(run_decode(capture, "--cache", "--json")) == [("request", 7)]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 25, 8])
def test_a_damaged_length_takes_no_memory(capture: Path, kind: str, length: int) -> None:
    if kind == "pcap":
        whole = pcap([]) + struct.pack("<IIII", 0, 0, max(length, 1 << 25), length) + bytes(100)
    else:
        whole = pcapng([]) + struct.pack("<II", 6, length) + bytes(100)
    capture.write_bytes(whole)
    tracemalloc.start()
    try:
        decoded = run_decode(capture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert decoded.code == 1
    assert "the capture file is damaged after 0 packets" in decoded.output
    assert "Traceback" not in decoded.errors


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_file_that_is_cut_in_the_middle(capture: Path, kind: str) -> None:
    """Whatever is left of it: every message that is whole, and a word where the rest should be."""
    ends = Ends()
    packets = [*ends.open(), ends.packet("server", 0, request(1), DATA)]
    packets.append(ends.packet("server", len(request(1)), request(2), DATA))
    whole = pcap(packets) if kind == "pcap" else pcapng([("raw", packet) for packet in packets])
    first_packet = 24 if kind == "pcap" else 28 + 20
    for size in range(4, len(whole)):
        capture.write_bytes(whole[:size])
        decoded = run_decode(capture, "--cache", "--json")
        assert ids(decoded) == [1, 2][: len(ids(decoded))]
        assert decoded.code or decoded.messages or size in (first_packet, 28)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), link=st.sampled_from(sorted(LINKS)), version=st.sampled_from([4, 6]))
def test_no_frame_is_a_fault(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, link: str, version: int
) -> None:
    """Whatever became of the frames: something is said, and nothing fails."""
    ends, (number, around) = Ends(version=version), LINKS[link]
    packets = [
        *ends.open(),
        *fragments(version, ends.segment("server", 0, request(1), DATA), [24], "server", 1),
    ]
    frames = []
    for packet in packets:
        frame = bytearray(around(packet))
        for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=4)):
            frame[at] = data.draw(st.integers(0, 255))
        frames.append(bytes(frame[: data.draw(st.integers(0, len(frame)))]))
    path = tmp_path_factory.getbasetemp() / "broken.capture"
    path.write_bytes(pcap(frames, number))
    decoded = run_decode(path, "--json")
    assert decoded.records
    assert decoded.code == 1 or decoded.messages


# IP.


@pytest.mark.parametrize("version", [4, 6])
def test_fragments(capture: Path, version: int) -> None:
    ends, content = Ends(version=version), request(1, 2, 3)
    segment = ends.segment("server", 0, content, DATA)
    made = fragments(version, segment, [8, 24, 48], "server", 5)
    for order in itertools.permutations(made):
        decoded = decode_packets(capture, [*ends.open(), *order])
        assert said(decoded) == [("request", number) for number in (1, 2, 3)]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_without_the_others(capture: Path, version: int) -> None:
    ends, content = Ends(version=version), request(1, 2)
    made = fragments(version, ends.segment("server", 0, content, DATA), [24, 40], "server", 5)
    rest = ends.packet("server", len(content), request(3), DATA)
    for missing in range(3):
        kept = made[:missing] + made[missing + 1 :]
        decoded = decode_packets(capture, [*ends.open(), *kept, rest])
        assert decoded.code == 1
        assert ("gap", 0, len(content)) in decoded.problems
        reasons = [record.get("reason", "") for record in decoded.records]
        assert any("2 that are fragments without the others" in reason for reason in reasons)


def test_fragments_that_come_twice(capture: Path) -> None:
    """A capture of several interfaces has every packet more than once."""
    ends, content = Ends(), request(1, 2)
    made = fragments(4, ends.segment("server", 0, content, DATA), [24, 40], "server", 5)
    packets = [*ends.open(), *(fragment for fragment in made for _ in range(3))]
    assert said(decode_packets(capture, packets)) == [("request", 1), ("request", 2)]
    assert said(decode_packets(capture, [*ends.open(), *made, *made])) == [("request", 1), ("request", 2)]


def test_overlapping_fragments_are_no_message(capture: Path) -> None:
    """RFC 5722: receivers drop them, so what they say was not heard."""
    ends, content = Ends(), request(1, 2)
    segment = ends.segment("server", 0, content, DATA)
    first, last = fragments(4, segment, [24], "server", 5)
    over = ip(4, segment[16:32], identification=5, place=1 << 13 | 2)
    decoded = decode_packets(
        capture, [*ends.open(), first, over, last, ends.packet("server", 0, content, DATA)]
    )
    assert ids(decoded) == [1, 2]
    assert decoded.problems == [("capture", 0, 0)]
    assert "fragments" in decoded.records[-1]["reason"]


def test_fragments_take_bounded_memory(capture: Path) -> None:
    """The oldest are given up, and what comes after them is read."""
    ends = Ends()
    flood = [ip(4, bytes(60000), identification=number, place=1 << 13) for number in range(400)]
    decoded = decode_packets(capture, [*ends.open(), *flood, ends.packet("server", 0, request(1), DATA)])
    assert ids(decoded) == [1]
    assert "400 that are fragments without the others" in decoded.records[-1]["reason"]


@pytest.mark.parametrize(
    "headers",
    [
        [(0, options(60)), (60, options(43, 24)), (43, options(6))],
        [(51, bytes([6, 4, *bytes(22)]))],
        [(60, options(44)), (44, bytes([6, 0, 0, 0, 0, 0, 0, 9]))],
    ],
    ids=["options", "authentication", "a fragment that is whole"],
)
def test_extension_headers(capture: Path, headers: list[tuple[int, bytes]]) -> None:
    ends = Ends(version=6)
    segment = ends.segment("server", 0, request(1), DATA)
    extra = b"".join(header for _, header in headers)
    packet = ip(6, segment, protocol=headers[0][0], extra=extra)
    assert said(decode_packets(capture, [*ends.open(), packet])) == [("request", 1)]


def test_a_size_that_offloading_left_out(capture: Path) -> None:
    """What the capture cut off is known from the packet's size on the wire then."""
    ends, content = Ends(), request(1, key=bytes(100))
    packet = ends.packet("server", 0, content, DATA)
    packet = packet[:2] + b"\0\0" + packet[4:]
    assert said(decode_packets(capture, [*ends.open(), packet])) == [("request", 1)]
    after = ends.packet("server", len(content), request(2), DATA)
    capture.write_bytes(pcap([*ends.open(), packet, after], snap=80))
    decoded = run_decode(capture, "--cache", "--json")
    assert decoded.problems == [("gap", 40, len(content) - 40)]
    assert ids(decoded) == [2]


# What is left out is counted and said.


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("link", ["raw", "ethernet", "qinq, cooked 2"])
def test_headers_that_the_capture_cut_off(capture: Path, joined: bool, link: str) -> None:
    """However short the packets are: what is not shown is said, and what is shown is right."""
    ends, content = Ends(), request(1, 2)
    packets = [] if joined else ends.open()
    packets.append(ends.packet("server", 0, content, DATA))
    ends.reached["client"] = len(content)
    packets.append(ends.packet("client", 0, response(1), DATA))
    number, around = LINKS[link]
    frames = [around(packet) for packet in packets]
    for snap in range(1, max(map(len, frames)) - 20 * (link == "ethernet")):
        capture.write_bytes(pcap(frames, number, snap=snap))
        decoded = run_decode(capture, "--cache", "--json")
        assert decoded.code == 1, snap
        assert decoded.problems, snap
        assert ids(decoded) in ([], [1], [1, 1]), snap
        if snap < 20:
            (record,) = decoded.records
            assert f"{len(frames)} whose headers the capture cut off" in record["reason"]
            assert f"{len(frames)} packets of {len(frames)} left out" in decoded.errors


def test_what_is_no_tcp(capture: Path) -> None:
    ends, number = Ends(), LINKS["ethernet"][0]
    around = LINKS["ethernet"][1]
    others = [bytes(12) + b"\x08\x06" + bytes(28), *[around(ip(4, bytes(8), protocol=17))] * 2]
    packets = [around(packet) for packet in (*ends.open(), ends.packet("server", 0, request(1), DATA))]
    decoded = decode_packets(capture, [*others, *packets], link=number)
    assert said(decoded) == [("request", 1)]
    expected = "3 packets of 7 left out: 2 that are not TCP, 1 that are not IP"
    assert decoded.errors == f"protosocket: {expected}\n"


def test_packets_of_other_ports(capture: Path) -> None:
    ends, other = Ends(), Ends(ports=(50000, 7301))
    packets = [*other.open(), *ends.open(), ends.packet("server", 0, request(1), DATA)]
    decoded = decode_packets(capture, packets, "--port", "7300")
    assert said(decoded) == [("request", 1)]
    assert decoded.errors == "protosocket: 3 packets of 7 left out: 3 of other ports\n"


@pytest.mark.parametrize(
    ("packets", "arguments", "reason"),
    [
        (Ends().open(), (), "no message in 3 packets: 3 segments of TCP without content"),
        ([Ends().packet("server", -1, b"\0")], (), "no message in 1 packet: nothing but probes"),
        (
            [ip(4, bytes(8), protocol=17), *Ends().open()],
            ("--port", "9"),
            "no message in 4 packets: 3 of other ports, 1 that are not TCP",
        ),
    ],
    ids=["handshake", "probe", "others"],
)
def test_a_capture_without_a_message_says_so(
    capture: Path, packets: list[bytes], arguments: tuple[str, ...], reason: str
) -> None:
    decoded = decode_packets(capture, packets, *arguments)
    assert decoded.code == 1
    (record,) = decoded.records
    assert (record["problem"], record["direction"]) == ("capture", None)
    assert reason in record["reason"]


def test_a_capture_without_packets(capture: Path) -> None:
    decoded = decode_packets(capture, [])
    assert (decoded.code, decoded.output, decoded.errors) == (0, "", "")


def test_ctrl_c_ends_a_capture_that_is_being_made() -> None:
    """Not only its reading: what was not whole until then is shown as at any other end."""
    ends = Ends()
    packets = [*ends.open(), ends.packet("server", 0, request(1, 2)[:-1], DATA), ip(4, b"", protocol=17)]
    command = [sys.executable, "-m", "protosocket", "decode", "--cache", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        process.stdin.write(pcap(packets))
        process.stdin.flush()
        until_it_waits(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=HANG)
    records = [json.loads(line) for line in output.splitlines()]
    assert [record.get("id", record.get("problem")) for record in records] == [1, "truncated"]
    assert b"1 packet of 5 left out: 1 that are not TCP" in errors
    assert process.returncode == 130


def until_it_waits(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has read all that was written to it, and sleeps."""
    until = time.monotonic() + HANG
    stat, quiet = Path(f"/proc/{process.pid}/stat"), 0
    while quiet < 10:
        assert time.monotonic() < until
        assert process.stdin is not None
        unread = fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))
        state = stat.read_text().rpartition(")")[2].split()[0]
        quiet = quiet + 1 if not any(unread) and state == "S" else 0
        time.sleep(0.02)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_cut_segment_that_is_the_last(capture: Path, acknowledged: bool) -> None:
    """Nothing of it was captured but its header; nobody need acknowledge it."""
    ends, content = Ends(), request(1, key=bytes(200))
    packets = [*ends.open(), ends.packet("server", 0, content, DATA)]
    packets += [ends.packet("client", 0, acknowledge=len(content))] * acknowledged
    for joined in (packets, packets[3:]):
        capture.write_bytes(pcap(joined, snap=40))
        decoded = run_decode(capture, "--cache", "--json")
        assert decoded.problems == [("gap", 0, len(content))]


def test_what_waits_for_a_gap_is_bounded(capture: Path) -> None:
    """Nobody acknowledges it: the gap is given up, and said before the capture ends."""
    ends, at = Ends(), 100
    packets = ends.open()
    while at < 17 << 20:
        packets.append(ends.packet("server", at, bytes(60000), ACK))
        at += 60000
    last = ends.packet("client", 0, response(9), DATA)
    decoded = decode_packets(capture, [*packets, last])
    kinds = [(record.get("problem"), record["direction"]) for record in decoded.records]
    assert kinds == [("gap", "request"), (None, "response"), ("undecoded", "request")]
    assert "had not come when too much came after them" in decoded.records[0]["reason"]


def test_the_connections_followed_at_a_time_are_bounded(capture: Path) -> None:
    packets = []
    for number in range(16384 + 10):
        ends = Ends(ports=(1024 + number, 7300))
        packets.append(ends.packet("server", -1, flags=SYN))
    ends = Ends(ports=(999, 7300))
    packets += [*ends.open(), ends.packet("server", 0, request(1), DATA)]
    decoded = decode_packets(capture, packets)
    assert said(decoded) == [("request", 1)]
    assert decoded.errors == "protosocket: 11 connections given up: too many were open at a time\n"
