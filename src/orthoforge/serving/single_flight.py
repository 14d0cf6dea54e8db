"""Something that many ask for at once is made once, for as long as anyone waits for it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Results by key, while they are made. When the last who waits has left, making ends too."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, tuple[asyncio.Task[Result], list[None]]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    def get(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Result]]) -> Coroutine[Any, Any, Result]:
        """What ``make`` gives, or what is being made for another. It begins now, not when it is awaited."""
        if key not in self._flights:
            task = asyncio.ensure_future(make())
            self._flights[key] = task, []
            task.add_done_callback(lambda _: self._forget(key, task))
        task, waiting = self._flights[key]
        waiting.append(None)
        return self._wait(key, task, waiting)

    async def _wait(self, key: Hashable, task: asyncio.Task[Result], waiting: list[None]) -> Result:
        try:
            return await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._forget(key, task)
                task.cancel()

    def _forget(self, key: Hashable, task: asyncio.Task[Result]) -> None:
        if key in self._flights and self._flights[key][0] is task:
            del self._flights[key]
