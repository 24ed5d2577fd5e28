"""A streamed text is cut where the whole text would be."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pdistill.backends.local.export.generation_manager import FilteredQueue
from pdistill.backends.local.sampling.stop_text_filter import StopTextFilter
from pdistill.core.contract.sampling import Sampling

SHORT = st.text("ab\n ", max_size=4)


@given(
    pieces=st.lists(SHORT, max_size=8),
    stop=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
    stop_at_newline=st.booleans(),
)
def test_the_pieces_are_those_of_the_text_that_is_cut_whole(
    pieces: list[str], stop: list[str], stop_at_newline: bool
) -> None:
    sampling = Sampling(stop=tuple(stop), stop_at_newline=stop_at_newline)
    stop_filter = StopTextFilter(sampling)
    shown = [stop_filter.feed(piece) for piece in pieces]
    assert "".join([*shown, stop_filter.rest()]) == sampling.cut("".join(pieces))[0]


def test_only_what_may_become_a_stop_sequence_is_held_back() -> None:
    stop_filter = StopTextFilter(Sampling(stop=("END", "\n\n")))
    assert [stop_filter.feed(piece) for piece in ("one E", "N", "d", "\n", "two E", "ND three")] == [
        "one ",
        "",
        "ENd",
        "",
        "\ntwo ",
        "",
    ]
    assert stop_filter.rest() == ""


def test_non_text_is_passed_on() -> None:
    async def read() -> list[object]:
        queue: asyncio.Queue[object] = asyncio.Queue()
        for item in ("a", "STO", failure, None):
            queue.put_nowait(item)
        pieces = FilteredQueue(queue, StopTextFilter(Sampling(stop=("STOP",))))
        return [await pieces.get() for _ in range(2)] + [pieces.get_nowait() for _ in range(2)]

    failure = ValueError()
    assert asyncio.run(read()) == ["a", failure, "STO", None]
