"""The checks of a backend by name; they rely on nothing but the core's interfaces."""

from dataclasses import replace

from pdistill.core.contract.sampling import Allowed
from pdistill.testing import sampling, training
from pdistill.testing.bench import GREEDY, QUERIES, Bench, answers, full_prompt


def tells_prices(bench: Bench) -> None:
    """A model's price is known, unknown (None) or none (`FREE`), the same each time, and never below 0."""
    for model in (bench.teacher_model, bench.student_model):
        one, two = bench.backend.prices(model), bench.backend.prices(model)
        assert one == two, f"prices({model!r}) are {one} and then {two}"
        if one is not None:
            least = min(one.prompt, one.sampled, one.trained)
            assert least >= 0, f"prices({model!r}) hold {least}; give USD per million tokens, 0 for what costs nothing"
            assert one.source, f"prices({model!r}) do not say who says so; give a source"


def keeps_to_what_is_allowed(bench: Bench) -> None:
    """A teacher that says it can says nothing but the labels that are allowed, and anything again afterwards."""
    teacher, labels = bench.teacher(), ("mineral", "two words")
    if "constrain-labels" not in teacher.capabilities:
        return
    prompts = [full_prompt(teacher.renderer(), query) for query in QUERIES]
    with teacher.sampler() as sampler:
        before = answers(sampler, prompts)
        kept = answers(sampler, prompts, replace(GREEDY, allowed=Allowed(labels=labels)))
        after = answers(sampler, prompts)
    others = [answer.text for answer in kept if answer.finish == "stop" and answer.text.strip() not in labels]
    assert not others, (
        f"allowed were {labels}, and the answers are {others}; keep to them, or leave constrain-labels out of can"
    )
    assert after == before, "an answer without labels is another one after those with labels"


OWN = (keeps_to_what_is_allowed, tells_prices)
CHECKS = {check.__name__: check for check in (*sampling.CHECKS, *training.CHECKS, *OWN)}
TEACHER_CHECKS = {check.__name__: check for check in (*sampling.TEACHER_CHECKS, *OWN)}
