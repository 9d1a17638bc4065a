"""Credit windows: nothing is lost, nothing stalls, and what waits unread is bounded."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protosocket.grpc.wire.flow_control import MESSAGE_COST, ReceiveWindow, SendWindow

windows = st.integers(1, 10_000)
sizes = st.lists(st.integers(0, 20_000), max_size=60)


def test_a_window_shuts_when_it_is_used_up_and_opens_when_credit_comes() -> None:
    window = SendWindow(2 * MESSAGE_COST + 10)
    assert window.take(9)
    assert not window.take(1)
    assert window.left == 0
    assert window.grant(1)
    assert not window.grant(1)
    assert window.left == 2


def test_one_message_may_overdraw_the_window() -> None:
    window = SendWindow(1)
    assert not window.take(1_000_000)
    assert not window.grant(1_000_000)
    assert window.grant(MESSAGE_COST)
    assert window.left == 1


@pytest.mark.parametrize(("window", "first"), [(100, 0), (64, MESSAGE_COST), (1, MESSAGE_COST)])
def test_credit_comes_once_half_of_the_window_was_taken(window: int, first: int) -> None:
    receiver = ReceiveWindow(window)
    assert receiver.take(0) == first


@given(windows, sizes, st.data())
def test_everything_arrives_and_what_waits_is_bounded(
    window: int, payloads: list[int], data: st.DataObject
) -> None:
    """A sender and a receiver take turns as hypothesis likes; credits arrive at some later turn."""
    sender, receiver = SendWindow(window), ReceiveWindow(window)
    to_send, unread, granted = deque(payloads), deque[int](), deque[int]()
    largest = max((size + MESSAGE_COST for size in payloads), default=0)
    arrived: list[int] = []
    while to_send or unread:
        can = [("send", bool(to_send) and sender.left > 0), ("read", bool(unread)), ("grant", bool(granted))]
        possible = [name for name, allowed in can if allowed]
        assert possible, "both sides wait for each other"
        match data.draw(st.sampled_from(possible)):
            case "send":
                size = to_send.popleft()
                unread.append(size)
                assert sender.take(size) == (sender.left > 0)
            case "read":
                size = unread.popleft()
                arrived.append(size)
                if credit := receiver.take(size):
                    granted.append(credit)
            case _:
                shut, credit = sender.left <= 0, granted.popleft()
                assert sender.grant(credit) == (shut and sender.left > 0)
        assert sum(unread) + MESSAGE_COST * len(unread) < window + largest
    assert arrived == payloads


@given(windows, sizes)
def test_no_byte_is_granted_twice_or_kept_beyond_half_a_window(window: int, payloads: list[int]) -> None:
    receiver = ReceiveWindow(window)
    granted = sum(receiver.take(size) for size in payloads)
    owed = sum(payloads) + MESSAGE_COST * len(payloads) - granted
    assert 0 <= owed < (window + 1) // 2 or owed == 0
