"""Something that many ask for at once is made once, for as long as anyone waits for it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Results by key, while they are made. When the last who waits has left, making ends too."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, tuple[asyncio.Task[Result], list[None]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What ``make`` gives, or what is being made for another."""
        if key not in self._flights:
            task = asyncio.ensure_future(make())
            self._flights[key] = task, []
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        task, waiting = self._flights[key]
        waiting.append(None)
        try:
            return await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._flights.pop(key, None)
                task.cancel()
