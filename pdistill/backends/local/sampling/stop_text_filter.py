"""Cuts a text at its stop texts while it is still being made."""

from pdistill.core.sampling import Sampling


class StopTextFilter:
    """Passes a text on piece by piece, up to the first stop text; holds back what may become one."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._text = ""
        self._given = 0
        self._over = False

    def feed(self, piece: str) -> str:
        """Return what may be shown once this piece is there."""
        if self._over:
            return ""
        text, self._over = self._sampling.cut(self._text + piece)
        self._text = text if self._over else self._text + piece
        return self._upto(len(text) - (0 if self._over else self._held(text)))

    def rest(self) -> str:
        """Return what was held back and became no stop text."""
        return self._upto(len(self._text))

    def _upto(self, end: int) -> str:
        shown = self._text[self._given : end]
        self._given = max(end, self._given)
        return shown

    def _held(self, text: str) -> int:
        longest = max(map(len, self._sampling.stop), default=1) - 1
        return next(
            (size for size in range(min(longest, len(text)), 0, -1) if self._begins(text[-size:])),
            0,
        )

    def _begins(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._sampling.stop)
