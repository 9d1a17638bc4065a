"""How a channel's calls are spread over the addresses of its target."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from grpc import ChannelConnectivity

from protosocket.connection import Address
from protosocket.errors import Error, OptionError
from protosocket.event_loops import background_task
from protosocket.grpc.client.connect_backoff import Backoff
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.resolving import resolve
from protosocket.grpc.client.subchannel import Subchannel

__all__ = ["POLICIES", "LeastInFlight", "PickFirst", "Policy", "RoundRobin", "policy_of"]

_RESOLVE_AGAIN: Final = 30.0
"""Seconds that must have passed before names are looked up again."""

Make = Callable[[Sequence[Address]], Subchannel]


class Policy(Protocol):
    """Chooses the connection for each call."""

    def pick(self) -> ClientConnection | None:
        """The connection for the next call; ``None`` if none is ready."""
        ...

    def only(self) -> ClientConnection | None:
        """The connection for all calls until the next change, if there is but one choice."""
        ...

    def connect(self) -> None:
        """End idleness."""
        ...

    def changed(self, subchannel: Subchannel) -> None:
        """A subchannel has entered another state."""
        ...

    def state(self) -> ChannelConnectivity:
        """The channel's state."""
        ...

    def failure(self) -> Error | None:
        """Why there is no connection."""
        ...

    def subchannels(self) -> list[Subchannel]:
        """All there are."""
        ...

    def stop(self) -> None:
        """The channel is being closed: look up no further names."""
        ...


class PickFirst:
    """All calls go over one connection, to the first address that can be connected to."""

    def __init__(
        self, addresses: Sequence[Address], make: Make, _backoff: Backoff, _on_change: Callable[[], None]
    ) -> None:
        self._subchannel = make(addresses)

    def pick(self) -> ClientConnection | None:
        """The connection, if it is ready."""
        return self._subchannel.connection

    def only(self) -> ClientConnection | None:
        """The same."""
        return self._subchannel.connection

    def connect(self) -> None:
        """Connect if idle."""
        self._subchannel.connect()

    def changed(self, subchannel: Subchannel) -> None:
        """Nothing is chosen here."""

    def state(self) -> ChannelConnectivity:
        """The subchannel's state."""
        return self._subchannel.state

    def failure(self) -> Error | None:
        """Why the last attempt failed."""
        return self._subchannel.failure

    def subchannels(self) -> list[Subchannel]:
        """The one there is."""
        return [self._subchannel]

    def stop(self) -> None:
        """A connection looks its names up itself."""


class _Spread(ABC):
    """Connections to all addresses, kept up; each call goes over one of those that are ready.

    Names are looked up when the first connection is wanted, and again when one is lost or cannot be made, but
    not within half a minute. Connections to addresses that a name has no more are left after their calls.
    """

    def __init__(
        self, addresses: Sequence[Address], make: Make, backoff: Backoff, on_change: Callable[[], None]
    ) -> None:
        self._addresses = addresses
        self._make = make
        self._backoff = backoff
        self._on_change = on_change
        self._subchannels: dict[Address, Subchannel] = {}
        self._left: list[Subchannel] = []
        self._ready: list[ClientConnection] = []
        self._turn = 0
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at: float | None = None
        self._failure: Error | None = None

    @abstractmethod
    def _choose(self, ready: list[ClientConnection]) -> ClientConnection: ...

    def pick(self) -> ClientConnection | None:
        """One of the connections that are ready."""
        return self._choose(self._ready) if self._ready else None

    def only(self) -> ClientConnection | None:
        """There is a choice."""
        return None

    def connect(self) -> None:
        """Look the names up and connect to all their addresses."""
        if self._resolving is None and self._resolved_at is None:
            self._resolving = background_task(asyncio.get_running_loop(), self._resolve())
        for subchannel in self._subchannels.values():
            subchannel.connect()

    def changed(self, subchannel: Subchannel) -> None:
        """Keep the list of those that are ready; connect again to what was lost."""
        self._ready = [each.connection for each in self._subchannels.values() if each.connection is not None]
        if subchannel.state is ChannelConnectivity.IDLE and subchannel not in self._left:
            subchannel.connect()
        if subchannel.state in (ChannelConnectivity.CONNECTING, ChannelConnectivity.TRANSIENT_FAILURE):
            self._resolve_again()

    def _resolve_again(self) -> None:
        loop = asyncio.get_running_loop()
        last = self._resolved_at
        if self._resolving is None and last is not None and loop.time() - last >= _RESOLVE_AGAIN:
            self._resolving = background_task(loop, self._resolve())

    async def _resolve(self) -> None:
        while True:
            try:
                found = [each for address in self._addresses for each in await resolve(address)]
                break
            except Error as error:
                self._failure = error
                self._on_change()
                await asyncio.sleep(self._backoff.next())
        self._backoff.reset()
        self._failure = None
        self._resolving = None
        self._resolved_at = asyncio.get_running_loop().time()
        gone = [address for address in self._subchannels if address not in found]
        for address in gone:
            subchannel = self._subchannels.pop(address)
            self._left.append(subchannel)
            subchannel.leave()
        for address in found:
            if address not in self._subchannels:
                self._subchannels[address] = self._make([address])
                self._subchannels[address].connect()

    def state(self) -> ChannelConnectivity:
        """READY if one is, else CONNECTING if one is, else TRANSIENT_FAILURE; IDLE before the first call."""
        states = {each.state for each in self._subchannels.values()}
        for state in (ChannelConnectivity.READY, ChannelConnectivity.CONNECTING):
            if state in states:
                return state
        if states and ChannelConnectivity.TRANSIENT_FAILURE in states:
            return ChannelConnectivity.TRANSIENT_FAILURE
        if self._failure is not None:
            return ChannelConnectivity.TRANSIENT_FAILURE
        return ChannelConnectivity.CONNECTING if self._resolving else ChannelConnectivity.IDLE

    def failure(self) -> Error | None:
        """Why the last connection could not be made."""
        failures = [each.failure for each in self._subchannels.values() if each.failure is not None]
        return failures[-1] if failures else self._failure

    def subchannels(self) -> list[Subchannel]:
        """All there are, with those that are left."""
        return [*self._subchannels.values(), *self._left]

    def stop(self) -> None:
        """Look up no further names."""
        if self._resolving is not None:
            self._resolving.cancel()


class RoundRobin(_Spread):
    """The connections take turns."""

    def _choose(self, ready: list[ClientConnection]) -> ClientConnection:
        self._turn = turn = (self._turn + 1) % len(ready)
        return ready[turn]


class LeastInFlight(_Spread):
    """Each call goes where the fewest are in flight; connections with as many take turns."""

    def _choose(self, ready: list[ClientConnection]) -> ClientConnection:
        loads = [connection.in_flight for connection in ready]
        least = min(loads)
        idlest = [connection for connection, load in zip(ready, loads, strict=True) if load == least]
        self._turn += 1
        return idlest[self._turn % len(idlest)]


POLICIES: Final[dict[str, Callable[[Sequence[Address], Make, Backoff, Callable[[], None]], Policy]]] = {
    "pick_first": PickFirst,
    "round_robin": RoundRobin,
    "least_request": LeastInFlight,
    "least_request_experimental": LeastInFlight,
    "least_in_flight": LeastInFlight,
}
"""By gRPC's names, and one of our own."""


def policy_of(
    name: str, addresses: Sequence[Address], make: Make, backoff: Backoff, on_change: Callable[[], None]
) -> Policy:
    """The policy called ``name``; raises ``OptionError`` if there is none."""
    if name not in POLICIES:
        raise OptionError(f"no policy is called {name!r}; there are {', '.join(POLICIES)}")
    return POLICIES[name](addresses, make, backoff, on_change)
