"""The variables of the environment that decide how a service is reached: proxies and certificates."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx

from pdistill.core.errors import BackendError

CERTIFICATES = {"SSL_CERT_FILE": os.path.isfile, "SSL_CERT_DIR": os.path.isdir}
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
SCHEMES = ("http", "https", "socks5", "socks5h")


def check_environment() -> None:
    """Guarantee that a client can be made with the variables of the environment.

    Raises:
        BackendError: a variable is not usable; it is named, without a proxy's user name and password.
    """
    for name, exists in CERTIFICATES.items():
        path = os.environ.get(name)
        if path and not exists(path):
            raise BackendError(
                f"{name} is '{path}', which does not exist; set it to the certificates, or run: unset {name}"
            )
    for name, value in _proxies():
        _check_proxy(name, value)
    try:
        httpx.Client().close()
    except (ValueError, ImportError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        names = [name for name in _both("NO_PROXY") if os.environ.get(name)]
        if not names:
            raise BackendError(f"no HTTP client can be made ({type(error).__name__}: {_bare(str(error))})") from None
        raise BackendError(
            f"{names[0]} is '{os.environ[names[0]]}', which the HTTP client can't read ({error}); leave out brackets and IPv6 "
            f"networks, or run: unset {names[0]}"
        ) from None


def proxy_variable(url: str) -> str | None:
    """Return the variable that names the proxy through which an address is reached; None if there is none."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    if proxy_bypass(parts.netloc):
        return None
    for kind in (parts.scheme, "all"):
        if proxies.get(kind):
            return next((name for name in _both(f"{kind}_PROXY".upper()) if os.environ.get(name)), None)
    return None


def _check_proxy(name: str, value: str) -> None:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        httpx.URL(shown)
    except (ValueError, httpx.InvalidURL):
        usable, shown = False, _bare(value)
    if not usable:
        raise BackendError(
            f"{name} is '{shown}', which is not the address of a proxy; set it to http://HOST:PORT or socks5://HOST:PORT, with "
            f"brackets around an IPv6 address, or run: unset {name}"
        )
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        raise BackendError(
            f"{name} is '{shown}', and a SOCKS proxy needs the package socksio; run: pip install 'httpx[socks]', or: unset {name}"
        )


def _proxies() -> Iterator[tuple[str, str]]:
    for name in _both(*PROXIES):
        value = os.environ.get(name, "").strip()
        if value:
            yield name, value


def _both(*names: str) -> list[str]:
    """Return names as the clients look for them: in lower case first."""
    return [each for name in names for each in (name.lower(), name)]


def _bare(text: str) -> str:
    """Return a text without the user name and password of an address."""
    head, at, tail = text.rpartition("@")
    return f"{head.rpartition('//')[0]}//{tail}" if at and "//" in head else tail if at else text
