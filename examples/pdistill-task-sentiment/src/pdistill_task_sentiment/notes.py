"""Notes generated from wordings and parts of bicycles: as many as a small student needs."""

from collections.abc import Iterator

from pdistill import Query

PARTS = (
    "brake", "chain", "front wheel", "dynamo", "saddle", "child seat", "left pedal", "mudguard", "tandem", "cargo bike",
    "motor", "fork", "bell", "kickstand", "rear light", "headset",
)  # fmt: skip
WORDINGS = {
    "good": (
        "The {part} works like new, thank you",
        "My daughter is delighted with her {part}",
        "You fixed the {part} while I waited, and for less than I feared",
        "Whoever looked after my {part} is a wizard!",
        "fair price for the {part} and friendly people",
        "I have never had a {part} that runs so quietly",
        "{part} done a day early. Great work",
        "Many thanks, I can ride again: the {part} is perfect",
    ),
    "bad": (
        "The {part} broke again after two days",
        "You charged me twice for one {part}",
        "I have been waiting for my {part} since March and nobody calls",
        "Nice people. The {part} is as bad as before, though",
        "the third time that I bring in the same {part}...",
        "Somebody scratched my {part} and now nobody wants to have done it",
        "Wrong {part} fitted, and I had to walk home",
        "A good price for a {part} that rattles",
    ),
    "none": (
        "What does a new {part} cost?",
        "May I bring my {part} in on Friday?",
        "I shall fetch the {part} on Thursday at five",
        "Has the {part} arrived that I ordered?",
        "do you have a {part} for a child's bike",
        "How long does it take to change a {part}?",
        "Please look at the {part} when you have time",
        "My neighbour asks whether you rent out a {part}",
    ),
}


def notes() -> Iterator[Query]:
    """Yield every wording of every label with every part."""
    for part in PARTS:
        for label, wordings in WORDINGS.items():
            for wording in wordings:
                yield Query(wording.format(part=part), reference=label, slices=("put together",))
