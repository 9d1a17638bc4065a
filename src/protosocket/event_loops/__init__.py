"""Event loops: which one runs here, what belongs to one, and how programs with them begin, fork and end."""

from __future__ import annotations

from protosocket.event_loops.background import background_task, is_dropped
from protosocket.event_loops.forkable import AddressInfo, connect_socket, look_up
from protosocket.event_loops.interpreter_end import stops_with_the_interpreter
from protosocket.event_loops.loops import (
    OncePerLoop,
    hold_standard_descriptors,
    new_event_loop,
    require_loop,
)

__all__ = [
    "AddressInfo",
    "OncePerLoop",
    "background_task",
    "connect_socket",
    "hold_standard_descriptors",
    "is_dropped",
    "look_up",
    "new_event_loop",
    "require_loop",
    "stops_with_the_interpreter",
]
