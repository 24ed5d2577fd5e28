from pdistill.core.contract.queries import Query
from pdistill.core.writing.shots import Frame, frame_of, shots_of, without_shots

FEW = """Broken:repair

Message: Can you true my wheel?
Kind: repair

Message: How much is (a) bell?
Kind:  price

Message: {query}
Kind:
"""


def test_a_few_shot_prompt_gives_its_words_and_its_examples() -> None:
    assert frame_of(FEW) == Frame("Message:", "Kind:")
    assert shots_of(FEW) == [
        Query("Can you true my wheel?", reference="repair"),
        Query("How much is (a) bell?", reference="price"),
    ]


def test_without_a_place_for_the_query_lines_that_repeat_their_words_are_examples() -> None:
    shots = "Sort it.\n\nInput: a bell\nOutput: price\n\nInput: a hub\nOutput: other\n"
    assert frame_of(shots) == Frame("Input:", "Output:")
    assert [query.text for query in shots_of(shots)] == ["a bell", "a hub"]
    assert without_shots(shots).strip() == "Sort it."
    assert frame_of("Labels: a, b\nStyle: short\nOne: 1\nTwo: 2\n") == Frame()


def test_any_other_prompt_gives_none() -> None:
    assert frame_of("Sort the text.") == Frame()
    assert frame_of("Sort:\n{query}\n") == Frame()
    assert frame_of("Sort this text: it is {query}, isn't it?\nAnswer with a word.") == Frame()
    assert shots_of("Text: a\nLabel: b\nSort the text.") == [Query("a", reference="b")]
    assert shots_of("Sort the text {query}") == []
