"""Masking of personal data that can be recognised by its form, without a model."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator

from pdistill.core.errors import UsageError, not_installed

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "BR", "AU")
"""The regions whose formats telephone numbers without a country code are matched against."""
MIN_PHONE_DIGITS = 7
"""Digits of the shortest telephone number."""

MAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,64}@[\w-]+(?:\.[\w-]+)+")
CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)")
ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?![\w:])")
SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")

Span = tuple[int, int, str]


class Mask:
    """Replaces personal data with `[mail]`, `[phone]` and so on.

    Raises:
        UsageError: a package is missing.
    """

    def __init__(self) -> None:
        try:
            import phonenumbers
            from stdnum import iban, luhn
            from stdnum.us import ssn
        except ModuleNotFoundError as error:
            raise UsageError(not_installed("--mask", "mask", error.name)) from None
        self._phonenumbers, self._luhn, self._iban, self._ssn = phonenumbers, luhn, iban, ssn

    def __call__(self, text: str) -> tuple[str, Counter[str]]:
        """Return the masked text, and the count of each kind of data that was masked."""
        masked, end, counts = [], 0, Counter[str]()
        for start, stop, kind in sorted(self._spans(text), key=lambda span: (span[0], -span[1])):
            if start < end:
                continue
            counts[kind] += 1
            masked += [text[end:start], f"[{kind}]"]
            end = stop
        return "".join([*masked, text[end:]]), counts

    def _spans(self, text: str) -> Iterator[Span]:
        yield from ((*match.span(), "mail") for match in MAIL.finditer(text))
        yield from ((*match.span(), "card") for match in CARD.finditer(text) if self._luhn.is_valid(_digits(match[0])))
        yield from ((*match.span(), "ssn") for match in SSN.finditer(text) if self._ssn.is_valid(match[0]))
        yield from ((*match.span(), "ip") for match in ADDRESS.finditer(text) if _is_address(match[0]))
        for match in IBAN.finditer(text):
            yield from self._iban_in(match)
        if sum(character.isdigit() for character in text) >= MIN_PHONE_DIGITS:
            for region in REGIONS:
                for number in self._phonenumbers.PhoneNumberMatcher(text, region):
                    yield number.start, number.end, "phone"

    def _iban_in(self, match: "re.Match[str]") -> Iterator[Span]:
        """Yield the longest IBAN at the beginning of the match: what follows it may look like part of it."""
        for end in range(len(match[0]), 14, -1):
            if self._iban.is_valid(match[0][:end]):
                yield match.start(), match.start() + len(match[0][:end].rstrip()), "iban"
                return


def _digits(number: str) -> str:
    return re.sub(r"[ -]", "", number)


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or len(text) > len("2001::")
