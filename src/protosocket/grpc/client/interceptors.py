"""A channel's interceptors, sorted by the kind of call they intercept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grpc import aio

__all__ = ["Interceptors", "sort_interceptors"]


@dataclass(slots=True)
class Interceptors:
    """The interceptors of each kind of call, the outermost first."""

    unary_unary: list[Any] = field(default_factory=list)
    unary_stream: list[Any] = field(default_factory=list)
    stream_unary: list[Any] = field(default_factory=list)
    stream_stream: list[Any] = field(default_factory=list)


def sort_interceptors(interceptors: Sequence[aio.ClientInterceptor]) -> Interceptors:
    """As ``grpc.aio`` does it: each counts for one kind; raises ``ValueError`` for what is of none."""
    found = Interceptors()
    for each in interceptors:
        if isinstance(each, aio.UnaryUnaryClientInterceptor):
            found.unary_unary.append(each)
        elif isinstance(each, aio.UnaryStreamClientInterceptor):
            found.unary_stream.append(each)
        elif isinstance(each, aio.StreamUnaryClientInterceptor):
            found.stream_unary.append(each)
        elif isinstance(each, aio.StreamStreamClientInterceptor):
            found.stream_stream.append(each)
        else:
            raise ValueError(
                f"{each!r} is no interceptor: UnaryUnaryClientInterceptor, UnaryStreamClientInterceptor, "
                f"StreamUnaryClientInterceptor or StreamStreamClientInterceptor is expected"
            )
    return found
