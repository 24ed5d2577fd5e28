"""Logs never flood, and hold no secret."""

import logging

import pytest

from pdistill.backends.remote.notices import Notices, Relay


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pdistill"]


def test_a_kind_of_notice_is_said_at_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(every=3600)
    for number in range(1000):
        notices.warn("cut", f"cut {number}")
    notices.warn("hang", "hang")
    assert said(caplog) == ["cut 0", "hang"]


def test_the_next_notice_says_how_many_were_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("pdistill.backends.remote.notices.time.monotonic", lambda: now[0])
    notices = Notices(every=10)
    for now[0] in (100.0, 101.0, 102.0, 111.0):
        notices.warn("cut", "cut")
    assert said(caplog) == ["cut", "cut (2 more like this since)"]


def test_what_goes_on_for_hours_is_said_ever_more_seldom(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("pdistill.backends.remote.notices.time.monotonic", lambda: now[0])
    notices = Notices(every=10)
    for now[0] in range(3600):
        notices.warn("heartbeat", "the heartbeat failed")
    assert 7 < len(said(caplog)) < 15


def test_secrets_are_cleaned_away(caplog: pytest.LogCaptureFixture) -> None:
    Notices(lambda text: text.replace("key", "***")).warn("error", "the key is key")
    assert said(caplog) == ["the *** is ***"]


def test_a_librarys_warnings_are_said_as_notices_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("somelib.part")
    with Relay("somelib", Notices(every=3600), excluding="as usual"):
        library.warning("it takes a while, as usual")
        for number in range(100):
            library.warning("again %d\nand more", number)
        library.info("chatter")
    library.warning("afterwards")
    assert said(caplog) == ["somelib: again 0"]
    assert [record.getMessage() for record in caplog.records if record.name == "somelib.part"] == ["afterwards"]
