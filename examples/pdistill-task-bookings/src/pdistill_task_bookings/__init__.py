"""A task for pdistill: turns messages to a hairdresser into JSON that conforms to a schema."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from pdistill import Completion, HardTarget, JsonSchema, Query, Registry, Rejected, Task, hookimpl, read_text

HERE = Path(__file__).parent
SERVICES = ("haircut", "beard trim", "massage", "facial", "colouring", "perm")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
TIMES = ("9 am", "11 am", "noon", "3 pm", "5 pm")
WORDINGS = (
    "Can I come for a {service} on {day} at {time}?",
    "{day}, {time}: {service}, please. Thanks, Ana",
    "Hello, is there a place for a {service} at {time} on {day}",
    "My mother needs a {service}. She could be there on {day}, {time}",
)


class Bookings(Task):
    """Says which service is wanted, on which day and at what time."""

    student_frame = "Message: {query}\nJSON:"
    max_tokens = 40

    def __init__(self) -> None:
        self.prompt = read_text(HERE / "prompt.txt")
        self.schema = JsonSchema(read_text(HERE / "schema.json"))

    def queries(self) -> Iterator[Query]:
        """Yield the messages, each in one of the wordings, with the right object."""
        for number, (time, day, service) in enumerate(product(TIMES, DAYS, SERVICES)):
            said = {"service": service, "day": day, "time": time}
            text = WORDINGS[number % len(WORDINGS)].format(**said)
            yield Query(text, reference=json.dumps(said), slices=(service,))

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the object in the teacher's own words, or the part of the schema that it violates."""
        return self.schema.read(completion.text.strip())

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return the fraction of fields that are equal."""
        return self.schema.agreement(text, teacher_text)

    def score(self, query: Query, text: str) -> float | None:
        """Return the fraction of fields that are right."""
        return None if query.reference is None else self.agreement(query, text, query.reference)


@hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the task `bookings`."""
    tasks.register("bookings", lambda options: Bookings(), summary="turn messages to a hairdresser into JSON")
