"""The checks of a backend by name; they rely on nothing but the core's interfaces."""

from pdistill.testing import sampling, training
from pdistill.testing.bench import Bench


def tells_prices(bench: Bench) -> None:
    """A model's price is known, unknown (None) or none (`FREE`), the same each time, and never below 0."""
    for model in (bench.teacher_model, bench.student_model):
        one, two = bench.backend.prices(model), bench.backend.prices(model)
        assert one == two, f"prices({model!r}) are {one} and then {two}"
        if one is not None:
            least = min(one.prompt, one.sampled, one.trained)
            assert least >= 0, f"prices({model!r}) hold {least}; give USD per million tokens, 0 for what costs nothing"
            assert one.source, f"prices({model!r}) do not say who says so; give a source"


CHECKS = {check.__name__: check for check in (*sampling.CHECKS, *training.CHECKS, tells_prices)}
TEACHER_CHECKS = {check.__name__: check for check in (*sampling.TEACHER_CHECKS, tells_prices)}
