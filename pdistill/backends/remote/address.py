"""The address of a service, as an option: it is stored in the run, so it must hold no secret and nothing that is not sent."""

from pdistill.core.errors import UsageError

PARTS = "a user name, a password, a query string or a fragment"


def check_base_url(url: str | None, backend: str) -> None:
    """Guarantee that the option base_url is a bare address.

    Raises:
        UsageError: it has more parts, which are not repeated.
    """
    if url is not None and has_more_parts(url):
        raise UsageError(f"option base_url of backend {backend} contains {PARTS}; leave it out")


def has_more_parts(url: str) -> bool:
    """Return whether an address contains more than scheme, host, port and path."""
    return "?" in url or "#" in url or "@" in url.partition("//")[2]
