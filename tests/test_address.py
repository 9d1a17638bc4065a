"""Addresses: every URL that is read, every one that is refused, and that str() leads back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protosocket.connection.address import Address, Scheme, parse_address
from protosocket.errors import AddressError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://localhost:9000", Address("tcp", "localhost", 9000)),
        ("tcp://127.0.0.1:0", Address("tcp", "127.0.0.1", 0)),
        ("tls://cache.example.com:65535", Address("tls", "cache.example.com", 65535)),
        ("tcp://[::1]:9000", Address("tcp", "::1", 9000)),
        ("tls://[fe80::1%eth0]:1", Address("tls", "fe80::1%eth0", 1)),
        ("TCP://Host:080", Address("tcp", "Host", 80)),
        ("unix:///run/x.sock", Address("unix", path="/run/x.sock")),
        ("unix://relative/x.sock", Address("unix", path="relative/x.sock")),
        ("unix:///a path/with?#%20@:", Address("unix", path="/a path/with?#%20@:")),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "no scheme"),
        ("localhost:9000", "did you mean tcp://localhost:9000"),
        ("/run/x.sock", "no scheme"),
        ("http://localhost:80", "unknown scheme 'http'; expected tcp://"),
        ("://localhost:80", "unknown scheme"),
        ("tcp://localhost", "the port is missing; write tcp://localhost:9000"),
        ("tcp://localhost:", "the port is missing"),
        ("tls://[::1]", "the port is missing"),
        ("tcp://:9000", "the host is missing"),
        ("tcp://", "the port is missing"),
        ("tcp://localhost:http", "the port is a number"),
        ("tcp://localhost:65536", "the port is 0 to 65535"),
        ("tcp://localhost:-1", "the port is a number"),
        ("tcp://localhost:٣", "the port is a number"),
        ("tcp://localhost:" + "9" * 5000, "the port is a number"),
        ("tcp://localhost:9000/", "cannot have a path"),
        ("tcp://localhost:9000?x=1", "cannot have a query"),
        ("tcp://localhost:9000#x", "cannot have a fragment"),
        ("tls://me:secret@localhost:9000", "cannot have a user"),
        ("tcp://::1:9000", r"in brackets; write tcp://\[::1\]:9000"),
        ("tcp://[::1:9000", "in brackets"),
        ("tcp://[::1]9000", "in brackets"),
        ("tcp://[localhost]:9000", "only an IPv6 address stands in brackets"),
        ("tcp://[::g]:9000", "not an IPv6 address"),
        ("tcp://local host:9000", "not a host name"),
        ("unix://", "the path of a Unix socket is missing"),
        ("unix:///a\0b", "the path of a Unix socket is missing"),
    ],
)
def test_what_is_no_address_is_explained(url: str, text: str) -> None:
    with pytest.raises(AddressError, match=text):
        parse_address(url)


@pytest.mark.parametrize(
    ("scheme", "host", "port", "path"),
    [
        ("unix", "host", 0, "/x"),
        ("unix", "", 1, "/x"),
        ("tcp", "host", 1, "/x"),
        ("tcp", "host", 65536, ""),
        ("tcp", "host", -1, ""),
        ("tcp", "a/b", 1, ""),
        ("udp", "host", 1, ""),
    ],
)
def test_parts_that_do_not_fit_are_refused(scheme: Scheme, host: str, port: int, path: str) -> None:
    with pytest.raises(AddressError):
        Address(scheme, host, port, path)


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20})(\.[a-z]{1,8}){0,3}", fullmatch=True),
)
addresses = st.one_of(
    st.builds(Address, st.sampled_from(["tcp", "tls"]), hosts, st.integers(0, 65535)),
    st.builds(Address, st.just("unix"), path=st.text(st.characters(exclude_characters="\0"), min_size=1)),
)


@given(addresses)
def test_str_leads_back(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(st.one_of(st.text(), st.text().map(lambda text: f"tcp://{text}")))
@example("tcp://[]:1")
@example("tcp://[::1]:")
@example("tcp://:::::")
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address
