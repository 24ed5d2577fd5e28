"""Variables of the environment that no client can use are named in one line, without passwords."""

import importlib.util
from typing import Any

import pytest

from pdistill.backends.openai import OpenAIOptions, create
from pdistill.backends.remote import environment
from pdistill.backends.remote.environment import check_environment, proxy_variable
from pdistill.core.errors import BackendError

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(environment, "find_spec", lambda name: None if name == "socksio" else find(name))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SSL_CERT_FILE", "/no/such.pem", "SSL_CERT_FILE is '/no/such.pem', which does not exist"),
        ("SSL_CERT_DIR", "/no/such", "SSL_CERT_DIR is '/no/such', which does not exist"),
        ("HTTPS_PROXY", "http://::1:3128", "HTTPS_PROXY is 'http://::1:3128', .* brackets around an IPv6 address"),
        ("http_proxy", "ftp://me:hidden@x", "http_proxy is 'ftp://x', which is not the address of a proxy"),
        ("HTTP_PROXY", "http://me:hidden@", "HTTP_PROXY is 'http://', which is not the address of a proxy"),
        (
            "ALL_PROXY",
            "socks5://me:hidden@[::1]:1",
            r"ALL_PROXY is 'socks5://\[::1\]:1', .* pip install 'httpx\[socks\]'",
        ),
        ("NO_PROXY", "fe80::/10", "NO_PROXY is 'fe80::/10', which the HTTP client can't read .* unset NO_PROXY"),
    ],
)
def test_unusable_variable_is_named(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    teacher: Any = create(OpenAIOptions(base_url="http://127.0.0.1:1/v1")).teacher("x")
    with pytest.raises(BackendError, match=says) as raised:
        teacher.check_available(None)
    assert "hidden" not in str(raised.value)


def test_usable_variables_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hidden@[::1]:3128")
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,::1,.example.org")
    check_environment()


def test_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    teacher: Any = create(OpenAIOptions(base_url="http://service.invalid/v1")).teacher("x")
    with pytest.raises(BackendError, match="can't reach .*; it is asked through the proxy in HTTP_PROXY: check that"):
        teacher.check_available(None)
    monkeypatch.setenv("NO_PROXY", "service.invalid")
    assert proxy_variable("http://service.invalid/v1") is None
