"""The checks of a backend by name; they use only the core's interfaces."""

from dataclasses import replace

from pdistill.core.contract.interfaces import capabilities_of
from pdistill.core.contract.sampling import Allowed
from pdistill.testing import sampling, training
from pdistill.testing.bench import GREEDY, QUERIES, Bench, answers, full_prompt


def tells_prices(bench: Bench) -> None:
    """A model's prices are known, unknown (None) or zero (`FREE`), the same each time, and never below 0."""
    for model in (bench.teacher_model, bench.student_model):
        one, two = bench.backend.prices(model), bench.backend.prices(model)
        assert one == two, f"prices({model!r}) are {one} the first time and {two} the second"
        if one is not None:
            least = min(one.prompt, one.sampled, one.trained)
            assert least >= 0, f"prices({model!r}) contain {least}; give USD per million tokens, 0 for what is free"
            assert one.source, f"prices({model!r}) have no source; name one"


def keeps_to_what_is_allowed(bench: Bench) -> None:
    """A teacher with the capability `constrain-labels` answers only with allowed labels, and freely again afterwards."""
    teacher, labels = bench.teacher(), ("mineral", "two words")
    if "constrain-labels" not in capabilities_of(teacher):
        return
    prompts = [full_prompt(teacher.renderer(), query) for query in QUERIES]
    with teacher.sampler() as sampler:
        before = answers(sampler, prompts)
        constrained = answers(sampler, prompts, replace(GREEDY, allowed=Allowed(labels=labels)))
        after = answers(sampler, prompts)
    others = [answer.text for answer in constrained if answer.finish == "stop" and answer.text.strip() not in labels]
    assert not others, (
        f"the allowed labels were {labels}, but the answers are {others}; constrain the answers, or remove constrain-labels "
        "from capabilities"
    )
    assert after == before, "after answers constrained to labels, the unconstrained answers differ from those before"


MORE_CHECKS = (keeps_to_what_is_allowed, tells_prices)
CHECKS = {check.__name__: check for check in (*sampling.CHECKS, *training.CHECKS, *MORE_CHECKS)}
TEACHER_CHECKS = {check.__name__: check for check in (*sampling.TEACHER_CHECKS, *MORE_CHECKS)}
