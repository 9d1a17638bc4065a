"""Call credentials: asks their plugins for the metadata that they add to a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc import aio

__all__ = ["metadata_from", "plugins_of"]


def plugins_of(credentials: grpc.CallCredentials | grpc.ChannelCredentials) -> list[Any]:
    """The plugins in ``credentials``, which may be composed of several.

    Raises ``ValueError`` for credentials of a kind that has none.
    """
    return _plugins(getattr(credentials, "_credentials", credentials))


def _plugins(inner: Any) -> list[Any]:
    several = getattr(inner, "_call_credentialses", None)
    if several is not None:
        return [plugin for each in several for plugin in _plugins(each)]
    plugin = getattr(inner, "_metadata_plugin", None)
    if plugin is None:
        raise ValueError(f"protosocket.grpc cannot use call credentials of the kind {type(inner).__name__}")
    return [plugin]


async def metadata_from(plugins: Sequence[Any], service_url: str, method: str) -> list[tuple[str, Any]]:
    """What ``plugins`` add to a call of ``method``.

    They may block, so each runs in a thread. Raises ``grpc.aio.AioRpcError`` with UNAVAILABLE if one fails.
    """
    found: list[tuple[str, Any]] = []
    for plugin in plugins:
        found += await _ask(plugin, service_url, method)
    return found


async def _ask(plugin: Any, service_url: str, method: str) -> list[tuple[str, Any]]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[tuple[str, Any]]] = loop.create_future()

    def settle(metadata: Any, code: Any, details: bytes | None) -> None:
        if answer.done():
            return
        if code is grpc.StatusCode.OK or code == grpc.StatusCode.OK.value[0]:
            try:
                # A plugin that has nothing to add may say None.
                pairs = [(key, value) for key, value in metadata or ()]
            except Exception as error:
                answer.set_exception(_error(f"what it gave is no sequence of pairs: {error}"))
            else:
                answer.set_result(pairs)
        else:
            text = details.decode(errors="replace") if isinstance(details, bytes) else str(details)
            answer.set_exception(_error(text))

    def callback(metadata: Any, code: Any, details: Any) -> None:
        # From whatever thread the plugin likes.
        loop.call_soon_threadsafe(settle, metadata, code, details)

    # What grpcio keeps is its own wrapper, which takes the two names and a callback with a status.
    await asyncio.to_thread(plugin, service_url, method, callback)
    return await answer


def _error(text: str) -> aio.AioRpcError:
    details = f"Getting metadata from plugin failed with error: {text}"
    return aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        aio.Metadata(),
        aio.Metadata(),
        details=details,
        debug_error_string=f"UNAVAILABLE:{details}",
    )
