"""What is personal in a text and can be told by its form: found and masked, without a model."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator

from pdistill.core.errors import UsageError

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "BR", "AU")
"""Where telephone numbers without a country code are looked for."""
DIGITS = 7
"""Digits of the shortest telephone number."""

MAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,64}@[\w-]+(?:\.[\w-]+)+")
CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)")
ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?![\w:])")
SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")

Span = tuple[int, int, str]


class Mask:
    """Puts `[mail]`, `[phone]` and so on in the place of what is personal.

    Raises:
        UsageError: a package is missing.
    """

    def __init__(self) -> None:
        try:
            import phonenumbers
            from stdnum import iban, luhn
            from stdnum.us import ssn
        except ModuleNotFoundError as error:
            raise UsageError(f"--mask needs the package '{error.name}'; run: pip install 'pdistill[mask]'") from None
        self._phonenumbers, self._luhn, self._iban, self._ssn = phonenumbers, luhn, iban, ssn

    def __call__(self, text: str) -> tuple[str, Counter[str]]:
        """Return the text, masked, and how often there was what."""
        masked, end, counts = [], 0, Counter[str]()
        for start, stop, kind in sorted(self._spans(text), key=lambda span: (span[0], -span[1])):
            if start < end:
                continue
            counts[kind] += 1
            masked += [text[end:start], f"[{kind}]"]
            end = stop
        return "".join([*masked, text[end:]]), counts

    def _spans(self, text: str) -> Iterator[Span]:
        yield from ((*found.span(), "mail") for found in MAIL.finditer(text))
        yield from ((*found.span(), "card") for found in CARD.finditer(text) if self._luhn.is_valid(_joined(found[0])))
        yield from ((*found.span(), "ssn") for found in SSN.finditer(text) if self._ssn.is_valid(found[0]))
        yield from ((*found.span(), "ip") for found in ADDRESS.finditer(text) if _is_address(found[0]))
        for found in IBAN.finditer(text):
            yield from self._iban_in(found)
        if sum(character.isdigit() for character in text) >= DIGITS:
            for region in REGIONS:
                for number in self._phonenumbers.PhoneNumberMatcher(text, region):
                    yield number.start, number.end, "phone"

    def _iban_in(self, found: "re.Match[str]") -> Iterator[Span]:
        """Yield the longest IBAN that stands at the place: what follows it may look like a part of it."""
        for end in range(len(found[0]), 14, -1):
            if self._iban.is_valid(found[0][:end]):
                yield found.start(), found.start() + len(found[0][:end].rstrip()), "iban"
                return


def _joined(number: str) -> str:
    return re.sub(r"[ -]", "", number)


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or len(text) > len("2001::")
