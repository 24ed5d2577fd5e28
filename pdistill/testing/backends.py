"""The checks of a backend by name; they rely on nothing but the core's interfaces."""

from pdistill.testing import sampling, training

CHECKS = {check.__name__: check for check in (*sampling.CHECKS, *training.CHECKS)}
