"""Turns orders to a bakery into JSON; agreement is the fraction of fields that are equal."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from pdistill import Completion, HardTarget, Query, Rejected, Task, likeness

FIELDS = ("item", "count", "day")
ITEMS = {
    "rye loaf": "loaves of rye",
    "croissant": "croissants",
    "seed roll": "rolls with seeds",
    "plum cake": "plum cakes",
}
COUNTS = {2: "two", 3: "3", 6: "half a dozen", 12: "a dozen"}
DAYS = {"sat": "Saturday", "sun": "Sunday", "mon": "the day after Sunday"}
WORDINGS = (
    "Hello, could I have {count} {item} for {day}, please?",
    "{day}: {count} {item}. Thank you, Ms Okafor",
    "we are expecting guests on {day} and would need {count} {item}",
)


class Orders(Task):
    """Says which item was ordered, how many, and for which day."""

    prompt = (
        "You read orders that customers send to a bakery. Answer with one JSON object in one line and nothing else. It has "
        'three keys: "item", "count" and "day".\n'
        f"item is one of these names, whatever the customer calls it: {', '.join(ITEMS)}.\n"
        "count is a number; a dozen is 12.\n"
        f"day is one of {', '.join(DAYS)}: the first three letters of its English name."
    )
    max_tokens = 64

    def queries(self) -> Iterator[Query]:
        """Yield the orders, each with the right object."""
        for (item, named), (count, said), (day, spoken), wording in product(
            ITEMS.items(), COUNTS.items(), DAYS.items(), WORDINGS
        ):
            text = wording.format(item=named, count=said, day=spoken)
            yield Query(text, reference=written({"item": item, "count": count, "day": day}), slices=(item, day))

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the object in canonical form, or why the answer is not one."""
        read = fields(completion.text)
        return HardTarget(written(read)) if set(read) == set(FIELDS) else Rejected("not the JSON object asked for")

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return the fraction of the fields that are equal."""
        return likeness("fields", text, teacher_text)

    def score(self, query: Query, text: str) -> float | None:
        """Return the fraction of the fields that are right."""
        return None if query.reference is None else self.agreement(query, text, query.reference)


def fields(text: str) -> dict[str, Any]:
    """Return the contents of a JSON object; an empty dict if the text is not one."""
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def written(values: dict[str, Any]) -> str:
    """Return the values as JSON, their keys in the order of FIELDS."""
    return json.dumps({name: values[name] for name in FIELDS}, ensure_ascii=False)
