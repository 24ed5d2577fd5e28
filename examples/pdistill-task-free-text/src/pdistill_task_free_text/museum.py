"""Questions of a museum's visitors; agreement is equality, ignoring case, punctuation and articles."""

import re
from collections.abc import Iterator

from pdistill import Query, Task

GUIDE = """\
You answer the visitors of a museum. Answer in the fewest words of this guide, without a sentence around them.
Hall 1: clocks. Hall 2: model ships. Hall 3: glass. Hall 4: insects. Hall 5: looms. Hall 6: meteorites.
Open from 9 to 17, on Thursdays until 21, on Sundays from 10. Closed on Mondays.
Adults pay 8 euros, students 5 euros, children nothing. Dogs wait outside. Photographs are welcome, flashes are not.
The cloakroom is beside the stairs, the café on the roof, the lift behind hall 3."""
ANSWERS = {
    "hall 1": ("My watch has stopped, do you show any that run?", "Where are the pendulum clocks"),
    "hall 2": ("Is there a frigate in a bottle somewhere?", "My uncle sailed. Which room has boats?"),
    "hall 3": ("vases, goblets, window panes: where?", "I'd love to see how Murano blows things"),
    "hall 4": ("beetles!!!", "The children want to look at butterflies"),
    "hall 5": ("Where can one see how cloth was woven?", "I am a weaver by trade, what is there for me"),
    "hall 6": ("Do you have stones that fell from the sky", "Room with the iron from space, please"),
    "21": ("How late may I come on a Thursday evening?", "Thursdays you shut at"),
    "10": ("We would like to be the first ones on Sunday. When?", "sunday opening time"),
    "Mondays": ("On which days is everything shut?", "When should I not come?"),
    "8 euros": ("I am forty. What is my ticket?", "Price for a grown-up"),
    "5 euros": ("I study law in Graz, do I get a reduction?", "university ID: how much then"),
    "nothing": ("My son is six, what do I pay for him?", "Tickets for kids cost"),
    "outside": ("May my poodle come in with me?", "Where shall I leave the dog"),
    "beside the stairs": ("I have a wet coat and a suitcase", "Somewhere to hang my jacket?"),
    "on the roof": ("Is there coffee in the house", "We are hungry, where do people eat cake here?"),
    "behind hall 3": ("My mother uses a wheelchair. How does she get upstairs?", "elevator?"),
}
NOISE = re.compile(r"\b(a|an|the)\b|[^\w\s]")


class Museum(Task):
    """Answers in the guide's words, as briefly as possible."""

    prompt = GUIDE
    max_tokens = 16

    def queries(self) -> Iterator[Query]:
        """Yield the questions, each with the right answer."""
        for answer, questions in ANSWERS.items():
            for question in questions:
                yield Query(question, reference=answer)

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return whether both say the same, ignoring case, punctuation and articles."""
        return float(plain(text) == plain(teacher_text))

    def score(self, query: Query, text: str) -> float | None:
        """Return whether the answer is right, ignoring case, punctuation and articles."""
        return None if query.reference is None else self.agreement(query, text, query.reference)


def plain(text: str) -> str:
    """Return the words of a text in lower case, without punctuation and articles."""
    return " ".join(NOISE.sub(" ", text.lower()).split())
