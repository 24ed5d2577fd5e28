from pdistill.core.writing.aims import ANY, Aim, aims_of, rules_of

LISTED = """You sort messages.

# Labels
- Something is broken: repair
- A question about money: price

# Rules
1. A message in capitals
   counts like any other.
2) Without a question mark it may still be a question.
"""


def test_the_items_of_lists_are_rules_with_their_further_lines() -> None:
    assert rules_of(LISTED) == [
        "Something is broken: repair",
        "A question about money: price",
        "A message in capitals counts like any other.",
        "Without a question mark it may still be a question.",
    ]


def test_without_a_list_the_lines_are_rules_and_headings_are_none() -> None:
    assert rules_of("# Head\nOne thing.\nAnother thing\nRules:\nA third\n\n{query}\nAnswer") == [
        "One thing.",
        "Another thing",
        "A third",
    ]


def test_without_lines_the_sentences_are_rules() -> None:
    assert rules_of("Sort the message. Say 3.5 where it is odd! Else nothing.") == [
        "Sort the message.",
        "Say 3.5 where it is odd!",
        "Else nothing.",
    ]


def test_the_examples_of_a_few_shot_prompt_are_not_rules() -> None:
    shots = "Q: what is new?\nA: other\n\nQ: how much?\nA: price\n"
    assert rules_of(f"Answer with a word.\nCapitals count.\nSo do commas.\n\n{shots}") == [
        "Answer with a word.",
        "Capitals count.",
        "So do commas.",
    ]
    assert aims_of(f"{shots}\nQ: {{query}}\nA:", (), with_rules=True) == [ANY]


def test_labels_are_aims_and_lines_that_define_them_are_not_asked_for_twice() -> None:
    aims = aims_of(LISTED, ("repair", "price"), with_rules=True)
    assert aims[:2] == [Aim("asked for repair", label="repair"), Aim("asked for price", label="price")]
    assert [aim.rule for aim in aims[2:]] == rules_of(LISTED)[2:]
    assert aims[2].name == "rule 1: A message in capitals counts like any\u2026"
    assert aims_of("Sort.", ("a",), with_rules=False) == [Aim("asked for a", label="a")]


def test_a_prompt_without_rules_and_labels_has_one_aim() -> None:
    assert aims_of("", (), with_rules=True) == aims_of("One. Two.", (), with_rules=False) == [ANY]
