"""The rules of a small rule engine: what a text is about, judging by its words."""

WORDS = {
    "animal": ("heron", "foxes", "dog", "beetle", "owl", "salmon"),
    "plant": ("oak", "ferns", "moss", "tulip", "maize", "ivy"),
    "tool": ("saw", "hammer", "drill", "chisel", "spanner", "file"),
}


def answer(messages: list[dict[str, str]]) -> str | None:
    """Return the label of the first word that a rule matches; None if none does."""
    for word in messages[-1]["content"].lower().replace(",", " ").replace(".", " ").split():
        for label, words in WORDS.items():
            if word in words:
                return label
    return None


def broken(messages: list[dict[str, str]]) -> str:
    """Fail."""
    raise ValueError("out of rules")
