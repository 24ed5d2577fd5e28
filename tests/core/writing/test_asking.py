from pdistill.core.contract.prompts import Format, Messages, Prompt, Text
from pdistill.core.contract.queries import Query
from pdistill.core.writing.aims import ANY, Aim
from pdistill.core.writing.asking import Requests
from pdistill.core.writing.shots import Frame

SEEDS = [
    Query("it\n squeaks", reference="repair"),
    Query("how much?", reference="price"),
    Query("hello", reference="other"),
]
REPAIR, RULE = Aim("asked for repair", label="repair"), Aim("rule 1", rule="Capitals count.")


def requests(format: Format, *seeds: Query, labels: tuple[str, ...] = ("repair", "price", "other")) -> Requests:
    return Requests("Sort {it}.", format, Frame("Message:", "Kind:"), seeds, labels, seed=0)


def turns(prompt: Prompt) -> list[str]:
    assert isinstance(prompt, Messages)
    assert [turn.role for turn in prompt.messages] == ["system", *["user", "assistant"] * 9][: len(prompt.messages)]
    assert "\n===\nSort {it}.\n===\n" in prompt.messages[0].content
    return [turn.content for turn in prompt.messages[1:]]


def test_in_a_chat_the_users_queries_are_answers_to_similar_requests() -> None:
    ask = "to which the assistant's right answer is:"
    assert turns(requests("chat", *SEEDS).request(0, REPAIR, 10, ())) == [
        f"Write 1 message {ask} price",
        "how much?",
        f"Write 1 message {ask} other",
        "hello",
        f"Write 1 message {ask} repair",
        "it squeaks",
        f"Write 10 messages {ask} repair",
    ]
    rule = turns(requests("chat", *SEEDS).request(0, RULE, 10, ["written\nbefore"]))
    assert rule[-1] == (
        "Write 10 messages for which this part of the prompt matters: Capitals count.\n"
        "There are these already, so write others:\nwritten before"
    )
    bare = [Query(seed.text) for seed in SEEDS]
    first, shown, last = turns(requests("chat", *bare).request(0, REPAIR, 10, ()))
    assert (first, last) == ("Write 3 messages", f"Write 10 messages {ask} repair")
    assert sorted(shown.splitlines()) == ["hello", "how much?", "it squeaks"]
    assert turns(requests("chat").request(0, ANY, 1, ())) == ["Write 1 message"]


def test_in_text_the_examples_are_continued() -> None:
    asked = requests("text", *SEEDS).request(0, REPAIR, 10, ())
    assert isinstance(asked, Text)
    *examples, last = asked.text.split("\n\n")
    assert sorted(examples) == [
        "Kind: other\nMessage: hello",
        "Kind: price\nMessage: how much?",
        "Kind: repair\nMessage: it squeaks",
    ]
    assert last == "Kind: repair\nMessage:"
    plain = requests("text", Query("a"), labels=()).request(0, ANY, 1, ())
    assert plain == Text("Message: a\nMessage:")


def test_examples_depend_on_the_number_of_the_request_and_on_the_seed() -> None:
    many = requests("chat", *(Query(f"query {at}") for at in range(40)))
    assert many.request(3, ANY, 10, ()) == many.request(3, ANY, 10, ())
    assert many.request(3, ANY, 10, ()) != many.request(4, ANY, 10, ())
