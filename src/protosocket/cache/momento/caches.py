"""Which caches there are: those named at the start, and those created since, which the storages remember."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from protosocket.cache.commands import cache_error
from protosocket.cache.momento.errors import invalid
from protosocket.cache.momento.storages import Storages
from protosocket.cache.protosocket_cache_pb2 import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    NOT_FOUND,
    UNAVAILABLE,
    CachesCommand,
)
from protosocket.errors import CacheError

__all__ = ["Caches"]

# Seconds for which what the storages said is believed: so late a deletion at another router is noticed.
_BELIEVED = 1.0


class Caches:
    """The caches at ``storages``, and those named in ``configured``, which are always there.

    Every storage remembers the names; a storage that was restarted has forgotten those it had. A name counts
    as long as one storage knows it.
    """

    def __init__(self, storages: Storages, configured: Iterable[str] = ()) -> None:
        self._storages = storages
        self._configured = frozenset(configured)
        self._known: frozenset[str] = self._configured
        self._believed_until = 0.0
        self._asking: asyncio.Task[CacheError | None] | None = None

    async def require(self, name: str) -> None:
        """Raise ``CacheError`` NOT_FOUND unless there is a cache of this name."""
        if name in self._configured:
            return
        if name in self._known and asyncio.get_running_loop().time() < self._believed_until:
            return
        silence = await self._ask()
        if name not in self._known:
            raise silence or _not_found(name)

    async def names(self) -> list[str]:
        """The names of all caches, sorted."""
        silence = await self._ask()
        if silence is not None:
            raise silence
        return sorted(self._known)

    async def create(self, name: str) -> None:
        """Create a cache, at the storages that are up; ``CacheError`` ALREADY_EXISTS if there was one."""
        if not name.strip():
            raise invalid("the name of the cache is empty")
        if name in self._configured:
            raise _exists(name)
        answers = await self._storages.on_each(CachesCommand.CREATE, name)
        created = [answer for answer in answers if not isinstance(answer, CacheError)]
        for answer in answers:
            if isinstance(answer, CacheError) and (answer.code != UNAVAILABLE or not created):
                raise answer
        self._known |= {name}
        if any(answer.existed for answer in created):
            raise _exists(name)

    async def delete(self, name: str) -> None:
        """Delete a cache with everything in it; needs every storage, and may be repeated if one was down."""
        if name in self._configured:
            raise cache_error(FAILED_PRECONDITION, f"the router was started with the cache {name!r}")
        # What others keep under this name, over protosocket, is not to go along with a cache that is none.
        await self.require(name)
        answers = _answered(await self._storages.on_each(CachesCommand.DELETE, name))
        self._known -= {name}
        if not any(answer.existed for answer in answers):
            raise _not_found(name)

    async def flush(self, name: str) -> None:
        """Remove everything in a cache; needs every storage, and may be repeated if one was down."""
        await self.require(name)
        _answered(await self._storages.on_each(CachesCommand.FLUSH, name))

    async def _ask(self) -> CacheError | None:
        """Ask all storages for the names they know; an error if none answers. Calls at one time ask once."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_storages())
            self._asking.add_done_callback(self._asked)
        # One caller giving up is nothing to the others.
        return await asyncio.shield(self._asking)

    def _asked(self, _: asyncio.Task[CacheError | None]) -> None:
        self._asking = None

    async def _ask_storages(self) -> CacheError | None:
        answers = await self._storages.on_each(CachesCommand.LIST)
        errors = [answer for answer in answers if isinstance(answer, CacheError)]
        if len(errors) == len(answers):
            return errors[0]
        known = self._configured.union(
            *(answer.names for answer in answers if not isinstance(answer, CacheError))
        )
        # A storage that cannot be asked may know more.
        self._known = known | self._known if errors else known
        self._believed_until = asyncio.get_running_loop().time() + _BELIEVED
        return None


def _answered(answers: list[Any]) -> list[Any]:
    """The answers; raises the first that is an error."""
    for answer in answers:
        if isinstance(answer, CacheError):
            raise answer
    return answers


def _exists(name: str) -> CacheError:
    return cache_error(ALREADY_EXISTS, f"there is a cache named {name!r} already")


def _not_found(name: str) -> CacheError:
    return cache_error(NOT_FOUND, f"there is no cache named {name!r}")
