"""Blunt sentences of three kinds, and a polite version of each."""

from collections.abc import Iterator
from itertools import product, zip_longest

from pdistill import Query

REQUESTS = (
    (
        ("close", "open", "clean", "paint", "lock", "check"),
        ("the window", "the gate", "the cupboard", "the second door", "the cellar", "the boat", "this cabinet", "the shed"),
    ),
    (
        ("bring me", "send me", "show me", "find me", "buy me"),
        (
            "another blanket", "the menu", "the photographs", "a copy of the key", "your new address", "a sheet of paper",
            "the old map", "two tickets",
        ),
    ),
)  # fmt: skip
THINGS = ("soup", "room", "bus", "bill", "tea", "floor", "bread", "mattress", "lift", "music", "towel", "coffee")
FAULTS = ("cold", "late", "wrong", "dirty", "loud", "old", "wet", "dear")
PLACES = (
    "the station", "the kitchen", "my luggage", "the lift", "the towels", "the nearest chemist", "the manager",
    "platform nine", "the stairs", "our table", "the lost property office", "your sister", "the matches", "the car park",
    "the ticket machine", "the first-aid box",
)  # fmt: skip
EVENTS = (
    ("the shop", "open"), ("the train", "leave"), ("the museum", "close"), ("the film", "begin"), ("breakfast", "end"),
    ("the ferry", "arrive"), ("the pool", "open"), ("the concert", "start"), ("the market", "begin"), ("the bar", "close"),
    ("the last bus", "leave"), ("the lesson", "end"),
)  # fmt: skip


def sentences() -> Iterator[Query]:
    """Yield requests, complaints and questions in turn, so that the first ones contain some of each."""
    for row in zip_longest(_requests(), _complaints(), _questions()):
        yield from filter(None, row)


def _requests() -> Iterator[Query]:
    for verbs, objects in REQUESTS:
        for object_, verb in product(objects, verbs):
            yield _query(f"{verb.capitalize()} {object_}.", f"Could you please {verb} {object_}?", "request")


def _complaints() -> Iterator[Query]:
    for fault, thing in product(FAULTS, THINGS):
        yield _query(f"The {thing} is {fault}.", f"I am afraid that the {thing} is a little {fault}.", "complaint")


def _questions() -> Iterator[Query]:
    for place in PLACES:
        verb = "are" if place in ("the towels", "the stairs", "the matches") else "is"
        yield _query(f"Where {verb} {place}?", f"Excuse me, could you tell me where {place} {verb}?", "question")
    for what, verb in EVENTS:
        yield _query(f"When does {what} {verb}?", f"Excuse me, could you tell me when {what} {verb}s?", "question")


def _query(text: str, reference: str, kind: str) -> Query:
    return Query(text, reference=reference, slices=(kind,))
