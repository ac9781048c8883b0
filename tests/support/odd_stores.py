"""Stores that go wrong on purpose, each a thin shell round a memory store that outlives it."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from casework.runtime.store.base import Append, AppendResult, CaseKey
from casework.runtime.store.claims import Claims
from casework.runtime.store.memory import MemoryStore


class OddStore:
    """Passes every call on to `inner`; appends can be held, answered otherwise and stopped."""

    def __init__(self, inner: MemoryStore | None = None) -> None:
        self.inner = inner or MemoryStore()
        self.appends: list[Append] = []
        self.answers: Callable[[int, Append], AppendResult | None] = lambda number, append: None
        self.open = anyio.Event()
        self.open.set()
        self.dead = False
        self.dead_after = False
        self.claim_error: Exception | None = None
        self.claim_unheard: Exception | None = None
        self.heard: Callable[[Sequence[CaseKey]], None] = lambda keys: None
        self.unheard: list[CaseKey] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def hold(self) -> None:
        """Keep appends from becoming durable until `let_go`."""
        self.open = anyio.Event()

    def let_go(self) -> None:
        self.open.set()

    async def append(self, append: Append) -> AppendResult:
        self.appends.append(append)
        number = len(self.appends)
        answer = self.answers(number, append)
        if answer is not None:
            return answer
        if not self.open.is_set():
            await self.open.wait()
        if self.dead:
            # The process is gone: nobody hears the answer, and only one last append may still have been written.
            if self.dead_after:
                self.dead_after = False
                await self.inner.append(append)
            await anyio.Event().wait()
        return await self.inner.append(append)

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        if self.claim_error is not None:
            error, self.claim_error = self.claim_error, None
            raise error
        claims = await self.inner.claim(node, limit=limit, now=now)
        if self.claim_unheard is not None:
            error, self.claim_unheard = self.claim_unheard, None
            raise error
        return claims

    def on_arrival(self, heard: Callable[[Sequence[CaseKey]], None]) -> None:
        self.heard = heard
        self.inner.on_arrival(self._tell)

    def deafen(self) -> None:
        """Keep what arrives from being heard of until `hear`."""
        self.unheard = []

    def hear(self) -> None:
        unheard, self.unheard = self.unheard, None
        self._tell(unheard or [])

    def _tell(self, keys: Sequence[CaseKey]) -> None:
        if self.unheard is None:
            self.heard(keys)
        else:
            self.unheard += keys
