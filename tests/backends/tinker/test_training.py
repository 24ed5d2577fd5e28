"""The options of a training run reach the service: a proxy records what the client sends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.core.contract.interfaces import Lora
from pdistill.testing.training import batch_of
from tests.backends.proxy import Proxy
from tests.backends.tinker.server import BUILTIN, MODEL


def sent(proxy: Proxy, last: str) -> dict[str, Any]:
    """Return the body of the one request to a path with this end."""
    (body,) = (seen.call.body for seen in proxy.calls if seen.call.path.endswith(last))
    asked: dict[str, Any] = json.loads(body)
    return asked


def test_adapter_optimizer_and_expiry_reach_the_service(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy()
    options = TinkerOptions(tokenizer=str(BUILTIN), train_mlp=False, train_output=True, expire=2.0)
    student = create(options).student(MODEL, tmp_path)
    with student.trainer(Lora(rank=4, seed=3), None) as trainer:
        trainer.step(batch_of(student.renderer()), 3e-4).result()
        trainer.save_state("one").result()
    expected = {"rank": 4, "seed": 3, "train_attn": True, "train_mlp": False, "train_unembed": True}
    made = sent(watched, "/create_model")["lora_config"]
    assert {key: made[key] for key in expected} == expected
    adam = next(part for part in sent(watched, "/optim_step").values() if isinstance(part, dict) and "beta1" in part)
    assert (adam["learning_rate"], adam["beta1"], adam["beta2"], adam["eps"]) == (3e-4, 0.9, 0.999, 1e-8)
    assert (adam["weight_decay"], adam["grad_clip_norm"]) == (0.0, 1.0)
    assert sent(watched, "/save_weights")["ttl_seconds"] == 2 * 86400


def test_the_next_step_is_sent_before_the_last_one_is_done(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy()
    student = create(TinkerOptions(tokenizer=str(BUILTIN))).student(MODEL, tmp_path)
    with student.trainer(Lora(rank=4), None) as trainer:
        batch = batch_of(student.renderer())
        steps = [trainer.step(batch, 1e-4) for _ in range(3)]
        steps[0].result()
        early = [seen.call.path.rpartition("/")[2] for seen in watched.of_kind("training")]
        for step in steps:
            step.result()
    assert early.count("forward_backward") > 1, "each step was sent only after the previous one was done"
