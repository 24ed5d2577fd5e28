"""What is said of the probes of a run."""

from pdistill.core.probes.findings import TOO_SMALL, Probes, sentences, states
from pdistill.core.probes.not_run import NO_ROOM, NotRun


def test_probes_that_were_not_run_for_one_reason_share_a_sentence() -> None:
    small = NotRun(None, TOO_SMALL)
    probes = Probes(leakage=small, retention=small, injection=NO_ROOM, welcome=small)
    assert list(sentences(probes)) == [
        ("leakage, retention, prompt following", "not run", f"{TOO_SMALL}."),
        ("injection", "not run", "no question fits into the model's context."),
    ]
    assert states(probes) == ["not run"] * 4


def test_a_run_without_probes_says_nothing() -> None:
    assert not list(sentences(None))
    assert not states(None)
