"""Logs are rate-limited and contain no secrets."""

import logging

import pytest

from pdistill.backends.remote.notices import Notices, Relay


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pdistill"]


def test_first_notice_of_a_kind_is_logged_and_later_ones_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(every=3600)
    for number in range(1000):
        notices.warn("cut", f"cut {number}")
    notices.warn("hang", "hang")
    assert said(caplog) == ["cut 0", "hang"]


def test_next_notice_reports_how_many_were_suppressed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("pdistill.backends.remote.notices.time.monotonic", lambda: now[0])
    notices = Notices(every=10)
    for now[0] in (100.0, 101.0, 102.0, 111.0):
        notices.warn("cut", "cut")
    assert said(caplog) == ["cut", "cut (2 more like this since)"]


def test_lasting_problem_is_logged_at_increasing_intervals(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("pdistill.backends.remote.notices.time.monotonic", lambda: now[0])
    notices = Notices(every=10)
    for now[0] in range(3600):
        notices.warn("heartbeat", "the heartbeat failed")
    assert 7 < len(said(caplog)) < 15


def test_secrets_are_removed(caplog: pytest.LogCaptureFixture) -> None:
    Notices(lambda text: text.replace("key", "***")).warn("error", "the key is key")
    assert said(caplog) == ["the *** is ***"]


def test_library_warnings_become_notices_only(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("somelib.part")
    with Relay("somelib", Notices(every=3600), excluding="as usual"):
        library.warning("it takes a while, as usual")
        for number in range(100):
            library.warning("again %d\nand more", number)
        library.info("chatter")
    library.warning("afterwards")
    assert said(caplog) == ["somelib: again 0"]
    assert [record.getMessage() for record in caplog.records if record.name == "somelib.part"] == ["afterwards"]
