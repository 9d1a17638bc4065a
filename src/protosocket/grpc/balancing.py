"""How a channel's calls are spread over its subchannels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from grpc import ChannelConnectivity

from protosocket.errors import Error
from protosocket.grpc.client_connection import ClientConnection
from protosocket.grpc.subchannel import Subchannel

__all__ = ["PickFirst", "Policy", "policy_of"]


class Policy(Protocol):
    """Chooses the connection for each call."""

    def pick(self) -> ClientConnection | None:
        """The connection for the next call; ``None`` if none is ready."""

    def only(self) -> ClientConnection | None:
        """The connection for all calls until the next change, if there is but one choice."""

    def connect(self) -> None:
        """End idleness."""

    def changed(self, subchannel: Subchannel) -> None:
        """A subchannel has entered another state."""

    def state(self) -> ChannelConnectivity:
        """The channel's state."""

    def failure(self) -> Error | None:
        """Why there is no connection."""


class PickFirst:
    """All calls go over one connection, to the first address that can be connected to."""

    def __init__(self, subchannel: Subchannel) -> None:
        self._subchannel = subchannel

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


def policy_of(subchannels: Sequence[Subchannel]) -> Policy:
    """The policy for these subchannels."""
    return PickFirst(subchannels[0])
