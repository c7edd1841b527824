"""Wishes of several threads become one record each time the disk is ready: group commit.

While one thread waits for the disk, others queue up; the next to write takes along all that are
waiting and don't touch the same hashtags. So a hundred threads share an fsync, and one alone waits
for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ggm.errors import GgmError, PoolError
from ggm.pool.changes import Wish
from ggm.pool.state import Change, State


class _Request:
    """One thread's wish, until it is granted or refused."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.done = False
        self.error: Exception | None = None


class Commit:
    """Grants wishes in turn, several at once where they don't touch the same hashtags.

    Args:
        writing: Held while the state is changed.
        state: Gives the state, while ``writing`` is held.
        record: Makes changes durable and applies them, while ``writing`` is held.
    """

    def __init__(
        self,
        writing: threading.RLock | threading.Lock,
        state: Callable[[], State],
        record: Callable[[list[Change]], None],
    ) -> None:
        self._writing = writing
        self._state = state
        self._record = record
        self._queueing = threading.Lock()
        self._waiting: list[_Request] = []

    def grant(self, wish: Wish) -> None:
        """Return when the wish is durable and visible.

        Raises:
            PoolError: If it can't be granted.
        """
        request = _Request(wish)
        with self._queueing:
            self._waiting.append(request)
        while not request.done:
            with self._writing:
                if not request.done:
                    self._grant_waiting()
        if request.error is not None:
            raise request.error

    def _grant_waiting(self) -> None:
        requests = self._take()
        try:
            changes: list[Change] = []
            for request in requests:
                try:
                    changes += request.wish.changes(self._state())
                except Exception as error:  # its own thread raises it; others aren't concerned
                    request.error = error
            if changes:
                self._record(changes)
        except BaseException as error:
            reason = str(error) if isinstance(error, GgmError) else f"the change wasn't made: {error!r}"
            for request in requests:
                request.error = request.error or PoolError(reason)
            if not isinstance(error, GgmError):
                raise
        finally:
            for request in requests:
                request.done = True

    def _take(self) -> list[_Request]:
        """Those that wait and can be granted together; the first always can."""
        state = self._state()
        touched: set[str] = set()
        taken, left = [], []
        with self._queueing:
            for request in self._waiting:
                names = request.wish.names
                own = names | {state.resolve(name) for name in names}
                if touched & own:
                    left.append(request)
                else:
                    taken.append(request)
                touched |= own  # those left too, so that nobody overtakes them
            self._waiting = left
        return taken
