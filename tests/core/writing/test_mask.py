import pytest

from pdistill.core.writing.mask import Mask

MASK = Mask()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to anna.b+shop@mail.example.co.uk please", "Write to [mail] please"),
        ("j\u00f6rg@m\u00fcller.de", "[mail]"),
        ("call +49 30 901820, or (212) 555-0147", "call [phone], or [phone]"),
        ("ring 020 7946 0958 after six", "ring [phone] after six"),
        ("card 4111 1111 1111 1111 exp 04/29", "card [card] exp 04/29"),
        ("IBAN DE89 3704 0044 0532 0130 00 BITTE", "IBAN [iban] BITTE"),
        ("pay to GB29NWBK60161331926819", "pay to [iban]"),
        ("192.168.17.4 and 2001:db8:85a3::8a2e:370:7334", "[ip] and [ip]"),
        ("my SSN is 536-22-8711", "my SSN is [ssn]"),
    ],
)
def test_personal_data_with_a_fixed_format_is_masked(text: str, masked: str) -> None:
    found, counts = MASK(text)
    assert found == masked
    assert counts.total() == masked.count("[")


@pytest.mark.parametrize(
    "text",
    [
        "a new chain for 24.99 please",
        "12 bolts, 8 nuts and 300 g of grease",
        "from 10:30:45 to 12:00:00",
        "std::vector<int> a; ::1",
        "SKU 1111 2222 3333 4445",
        "ISBN 978-3-16-148410-0",
        "user@localhost",
        "Anna Becker, 12 Elm Street, born 12.03.1984",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert MASK(text) == (text, {})
