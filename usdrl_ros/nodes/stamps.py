"""Whether the stamps of the input move: messages may come for ever with a stamp that stands still."""

from __future__ import annotations


class StampWatch:
    """Follows the stamps of messages; one thread calls `moved`, any other may clear."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._last_ns: int | None = None

    @property
    def known(self) -> bool:
        """Whether there is a newest stamp to compare with; not after `clear_newest`."""
        return self._newest_ns is not None

    def moved(self, stamp_ns: int, jump_s: float) -> bool:
        """Whether a message is newer than all before it, or the clock has jumped back by more than `jump_s`.

        After `clear_newest` any stamp that is newer than that of the message before starts again.
        """
        last_ns, self._last_ns = self._last_ns, stamp_ns
        newest_ns = self._newest_ns  # another thread may clear it
        if newest_ns is None:
            moved = last_ns is None or stamp_ns > last_ns
        else:
            moved = stamp_ns > newest_ns or newest_ns - stamp_ns > jump_s * 1e9
        if moved:
            self._newest_ns = stamp_ns
        return moved

    def clear_newest(self) -> None:
        """The input counts as stopped: wait for stamps that move."""
        self._newest_ns = None

    def clear(self) -> None:
        """Forget all."""
        self._newest_ns = self._last_ns = None
