"""A streamed text is cut where the whole text would be."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pdistill.backends.local.cutter import Cutter
from pdistill.backends.local.stopping import Pieces
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
    cutter = Cutter(sampling)
    shown = [cutter.feed(piece) for piece in pieces]
    assert "".join([*shown, cutter.rest()]) == sampling.cut("".join(pieces))[0]


def test_only_what_may_become_a_stop_text_is_held_back() -> None:
    cutter = Cutter(Sampling(stop=("END", "\n\n")))
    assert [cutter.feed(piece) for piece in ("one E", "N", "d", "\n", "two E", "ND three")] == [
        "one ",
        "",
        "ENd",
        "",
        "\ntwo ",
        "",
    ]
    assert cutter.rest() == ""


def test_non_text_is_passed_on() -> None:
    async def read() -> list[object]:
        queue: asyncio.Queue[object] = asyncio.Queue()
        for item in ("a", "STO", failure, None):
            queue.put_nowait(item)
        pieces = Pieces(queue, Cutter(Sampling(stop=("STOP",))))
        return [await pieces.get() for _ in range(2)] + [pieces.get_nowait() for _ in range(2)]

    failure = ValueError()
    assert asyncio.run(read()) == ["a", failure, "STO", None]
