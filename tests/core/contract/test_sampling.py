import pytest

from pdistill.core.contract.sampling import Sampling, request_seed


@pytest.mark.parametrize(
    ("sampling", "text", "cut"),
    [
        (Sampling(), "a\nb", ("a\nb", False)),
        (Sampling(stop=("##", "b")), "a b ## c", ("a ", True)),
        (Sampling(stop=("##",)), "## c", ("", True)),
        (Sampling(stop_at_newline=True), "\n \n a\nb\n", ("\n \n a", True)),
        (Sampling(stop_at_newline=True), " \n ", (" \n ", False)),
        (Sampling(stop_at_newline=True, stop=("b",)), "a b\n", ("a ", True)),
    ],
)
def test_an_answer_ends_at_the_first_stop_sequence(sampling: Sampling, text: str, cut: tuple[str, bool]) -> None:
    assert sampling.cut(text) == cut


def test_seeds_depend_on_seed_query_and_sample() -> None:
    seeds = {request_seed(seed, query, sample) for seed in (0, 1) for query in ("a", "b") for sample in (0, 1)}
    assert len(seeds) == 8
    assert request_seed(0, "a", 0) == request_seed(0, "a", 0) < 2**63
