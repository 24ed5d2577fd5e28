"""Every error of the client becomes one line that says what to do and contains no secret."""

from typing import Any

import httpx
import pytest

from pdistill.backends.tinker.failures import clean, detail, status_of, to_backend_error, verdict
from pdistill.core.errors import BackendError

URL = "https://tinker.example"


class StatusError(Exception):
    """As the client's APIStatusError."""

    def __init__(self, status_code: int, body: Any = None) -> None:
        super().__init__(f"Error code: {status_code} - {body}")
        self.status_code = status_code
        self.body = body


class RequestFailedError(Exception):
    """As the client's own."""

    def __init__(self, message: str, category: str) -> None:
        super().__init__(message)
        self.category = type("Category", (), {"name": category})()


class RetryableException(Exception):  # noqa: N818 - named as the client's own
    """As the client's own."""


RETRIEVAL = ValueError(
    "Error retrieving result: Error code: 409 - {'detail': 'Sequence conflict: expected 8, got 7.'} with status 409 for "
    "self.request_id='a' and expected type self.model_cls=<class 'x'>"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((StatusError(status), "denied") for status in (401, 402, 403)),
        *((StatusError(status), "gone") for status in (404, 410)),
        *((StatusError(status), "retry") for status in (408, 409, 429, 500, 503)),
        *((StatusError(status), "refused") for status in (400, 413, 422)),
        (RETRIEVAL, "retry"),
        (ValueError("Error retrieving result: gone (status 400) for self.request_id='a'"), "refused"),
        (ValueError("nothing about it"), "refused"),
        (RequestFailedError("Request failed: too long", "User"), "refused"),
        (RequestFailedError("Request failed: a worker died", "Server"), "retry"),
        (RetryableException("expired"), "retry"),
        (httpx.ReadError("cut"), "retry"),
        (TimeoutError(), "retry"),
        (BackendError("given up"), "refused"),
    ],
)
def test_an_error_has_a_verdict(error: BaseException, expected: str) -> None:
    assert verdict(error) == expected


def test_the_status_is_also_read_from_a_message() -> None:
    assert (status_of(RETRIEVAL), status_of(StatusError(503)), status_of(ValueError("status"))) == (409, 503, None)


def test_the_detail_of_an_error_is_one_short_line() -> None:
    assert detail(RETRIEVAL) == "Sequence conflict: expected 8, got 7"
    assert detail(StatusError(422, {"detail": "rank 64 is too large\nTraceback"})) == "rank 64 is too large"
    failed = RequestFailedError("Request failed: too long for self.request_id='a'", "User")
    assert detail(failed) == "too long"
    assert detail(TimeoutError()) == "TimeoutError"
    assert len(detail(ValueError("x" * 9999))) < 400


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            StatusError(403, {"detail": "Invalid API key"}),
            "the Tinker service at https://tinker.example refuses the key (403: Invalid API key); set TINKER_API_KEY to a "
            "valid key, and run the command again",
        ),
        (
            ValueError("The api_key client option must be set by passing api_key to the client"),
            "no API key is set for the Tinker service; run: export TINKER_API_KEY=tml-..., with your key, or: tinker auth login",
        ),
        (
            ValueError("The api_key must start with the 'tml-' prefix"),
            "the API key for the Tinker service is not valid (The api_key must start with the 'tml-' prefix); run: export "
            "TINKER_API_KEY=tml-..., with your key",
        ),
        (
            StatusError(402, {"detail": "no credit"}),
            "the account at https://tinker.example has no credit or an unpaid bill (no credit); fix that, and run the command "
            "again",
        ),
        (
            StatusError(422, {"detail": "rank 64 is too large"}),
            "the Tinker service refuses the request (422): rank 64 is too large",
        ),
        (
            httpx.ReadError("cut"),
            "the Tinker service at https://tinker.example failed: cut; run the command again, everything done so far is saved",
        ),
    ],
)
def test_an_error_is_explained_with_the_next_command(error: BaseException, expected: str) -> None:
    assert str(to_backend_error(error, URL)) == expected


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "an-odd-key")
    said = clean("X-API-Key: an-odd-key, tml-abcdefgh_1-2, eyJhbGciOi.eyJpc3Mi.c2ln")
    assert said == "X-API-Key: ***, ***, ***"
    assert "an-odd-key" not in str(to_backend_error(ValueError("sent an-odd-key"), URL))
