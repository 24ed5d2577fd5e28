"""Checks quickly whether an HTTP server answers at an address, even if name resolution or the connection hangs."""

import re

import httpx

from pdistill.backends.remote.background import run_blocking

CONNECT_SECONDS, ANSWER_SECONDS, PROBE_SECONDS = 3.0, 5.0, 6.0
"""Timeouts for the connection, for the response, and for both including name resolution."""
ERRNO = re.compile(r"^\[Errno -?\d+\] ")


def unreachable_reason(url: str) -> str | None:
    """Return why no HTTP server answers at an address, within 6 seconds; None if one does."""
    waits = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        run_blocking(lambda: httpx.get(url, timeout=waits)).result(PROBE_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        silent = isinstance(error, httpx.TimeoutException | TimeoutError)
        return "it does not answer" if silent else ERRNO.sub("", str(error))
    return None
