"""Cuts a text at its stop sequences while it is being generated."""

from pdistill.core.contract.sampling import Sampling


class StopTextFilter:
    """Passes a text on piece by piece, up to the first stop sequence, and holds back what may become one."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._text = ""
        self._shown = 0
        self._stopped = False

    def feed(self, piece: str) -> str:
        """Return what may be shown after this piece."""
        if self._stopped:
            return ""
        text, self._stopped = self._sampling.cut(self._text + piece)
        self._text = text if self._stopped else self._text + piece
        return self._show_up_to(len(text) - (0 if self._stopped else self._held_back(text)))

    def rest(self) -> str:
        """Return what was held back and did not become a stop sequence."""
        return self._show_up_to(len(self._text))

    def _show_up_to(self, end: int) -> str:
        shown = self._text[self._shown : end]
        self._shown = max(end, self._shown)
        return shown

    def _held_back(self, text: str) -> int:
        """Return how many of the text's last characters may be the beginning of a stop sequence."""
        longest = max(map(len, self._sampling.stop), default=1) - 1
        return next(
            (size for size in range(min(longest, len(text)), 0, -1) if self._begins_stop_text(text[-size:])),
            0,
        )

    def _begins_stop_text(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._sampling.stop)
