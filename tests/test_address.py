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
    ("urls", "shown"),
    [
        (["tcp://host:80", "TCP://Host:080", "tcp://HOST:80"], "tcp://host:80"),
        (["tcp://[::1]:1", "tcp://[0:0::0:1]:1", "tcp://[0000::0001]:01"], "tcp://[::1]:1"),
        (["tls://[FE80::A%eth0]:1", "tls://[fe80::a%25eth0]:1"], "tls://[fe80::a%eth0]:1"),
        (["tcp://[fe80::1%25]:1"], "tcp://[fe80::1%25]:1"),  # the interface of number 25
        (["tcp://[fe80::1%Eth0]:1"], "tcp://[fe80::1%Eth0]:1"),  # names of interfaces have a case
        (["tcp://127.0.0.1:1", "tcp://[::ffff:127.0.0.1]:1", "tcp://[::FFFF:7f00:1]:1"], "tcp://127.0.0.1:1"),
        (
            ["tcp://bücher.example:1", "tcp://BÜCHER.example:1", "tcp://xn--BCHER-kva.example:1"],
            "tcp://xn--bcher-kva.example:1",
        ),
        (["tcp://host.example.:1", "tcp://Host.Example.:1"], "tcp://host.example.:1"),
        (["tcp://a_b:1", "tcp://A_b:1"], "tcp://a_b:1"),
    ],
)
def test_one_address_for_all_ways_to_write_it(urls: list[str], shown: str) -> None:
    for url in urls:
        assert str(parse_address(url)) == shown
        assert parse_address(url) == parse_address(shown)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tcp://host.example.:1", "tcp://host.example:1", True),
        ("tcp://localhost.:1", "tcp://localhost:1", True),
        ("tcp://host.:1", "tcp://host:1", False),  # search domains
        ("tcp://host:1", "tls://host:1", False),
        ("tcp://127.0.0.1:1", "tcp://localhost:1", False),
        ("unix:///a.", "unix:///a", False),
    ],
)
def test_places(one: str, other: str, same: bool) -> None:
    assert (parse_address(one).place == parse_address(other).place) == same


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("tcp://faß.example:1", "write it as xn--"),
        ("tcp://\u2100.example:1", "not a host name"),  # becomes a/c
        ("tcp://a\uff20b.example:1", "not a host name"),  # becomes a@b
        ("tcp://bü..example:1", "not a host name"),
        ("tcp://" + "ü" * 64 + ":1", "not a host name"),
        ("tcp://\ud800:1", "not a host name"),
        ("tcp://[fe80::1%]:1", "not an IPv6 address"),
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
