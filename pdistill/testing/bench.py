"""What the checks of a backend work with: a small task, the backend's models, and a directory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdistill.core.contract.interfaces import Backend, Renderer, Sampler, Student, Teacher
from pdistill.core.contract.prompts import Prompt, framed, teacher_prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling

RULES = "Say what the text is about. Answer with one word.\nAnimals:animal\nPlants:plant\nTools:tool"
PROMPT = f"{RULES}\n\n{{query}}\n"
EXAMPLES = (
    ("The heron stands in the pond and waits", "animal"),
    ("Two foxes crossed the road last night", "animal"),
    ("My neighbour's dog barks at the postman", "animal"),
    ("The oak lost its leaves early this year", "plant"),
    ("Water the ferns twice a week", "plant"),
    ("Moss grows on the north wall", "plant"),
    ("The saw needs a new blade", "tool"),
    ("Hand me the small hammer, please", "tool"),
)
QUERIES = tuple(query for query, _ in EXAMPLES)
GREEDY = Sampling(max_tokens=12)


@dataclass(frozen=True, slots=True)
class Bench:
    """A backend with the models to check, and an empty directory for the student's files."""

    backend: Backend
    teacher_model: str
    student_model: str
    directory: Path
    exact: bool = True

    def teacher(self) -> Teacher:
        """Return the teacher."""
        return self.backend.teacher(self.teacher_model)

    def student(self) -> Student:
        """Return the student."""
        self.backend.resolve(None)
        return self.backend.student(self.student_model, self.directory)


def bare_prompt(renderer: Renderer, query: str) -> Prompt:
    """Return the student's input for a query."""
    return framed("{query}", query, "chat" if renderer.has_chat_template else "text")


def full_prompt(renderer: Renderer | None, query: str) -> Prompt:
    """Return the teacher's input for a query: the prompt with the query."""
    chat = renderer is None or renderer.has_chat_template
    return teacher_prompt(RULES, query, "chat") if chat else teacher_prompt(PROMPT, query, "text")


def answers(sampler: Sampler, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Completion]:
    """Return an answer for each prompt, in order."""
    requests = [Request(Key(number), prompt) for number, prompt in enumerate(prompts)]
    completions = dict(sampler.generate(requests, sampling))
    return [completions[request.key] for request in requests]


def texts(completions: Iterable[Completion]) -> list[str]:
    """Return the answers' texts."""
    return [completion.text for completion in completions]
