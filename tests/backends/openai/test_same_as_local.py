"""A real server gives the same answers as the model on this machine, except that it strips surrounding white space."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.openai import OpenAIOptions, create
from pdistill.core.contract.interfaces import Teacher
from pdistill.core.contract.prompts import Format, teacher_prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError
from tests.backends.tiny_models import make

QUERIES = ("The river is wide today", "Hola", "Der Fluss ist heute breit, und", "12", "é?")
PROMPTS: dict[Format, str] = {"chat": "You are a careful clerk. Name the language.", "text": "Text: {query}\nLanguage:"}
FAMILIES: dict[Format, str] = {"chat": "llama", "text": "gpt2"}


@pytest.fixture(scope="module", params=FAMILIES)
def form(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


@pytest.fixture(scope="module")
def model(form: Format, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(FAMILIES[form], tmp_path_factory.mktemp(form) / "model")


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    """The address of a `transformers serve` server with the model."""
    uvicorn = pytest.importorskip("uvicorn")
    from transformers.cli.serving import chat_completion, completion, model_manager, server, utils

    torch.set_num_threads(1)
    manager = model_manager.ModelManager(device="cpu", dtype="float32", force_model=str(model))
    state = utils.GenerationState()
    chat, text = (
        made(model_manager=manager, generation_state=state)
        for made in (chat_completion.ChatCompletionHandler, completion.CompletionHandler)
    )
    build: Any = server.build_server
    app = build(manager, chat, text, None, None, None, state)
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    served = uvicorn.Server(config)
    listening = config.bind_socket()
    thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    served.should_exit = True
    thread.join()
    listening.close()
    manager.shutdown()


def answers(teacher: Teacher, form: Format, sampling: Sampling) -> list[Completion]:
    asked = [Request(Key(number), teacher_prompt(PROMPTS[form], query, form)) for number, query in enumerate(QUERIES)]
    with teacher.sampler() as sampler:
        return [answer for _, answer in sorted(sampler.generate(asked, sampling))]


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=8), Sampling(max_tokens=8, stop_at_newline=True)])
def test_answers_match_the_local_teacher(form: Format, model: Path, address: str, sampling: Sampling) -> None:
    # the server does not set this option, which templates take for True
    local = LocalBackend(LocalOptions(thinking=True))
    local.resolve(None)
    here = answers(local.teacher(str(model)), form, sampling)
    there = answers(create(OpenAIOptions(base_url=address)).teacher(str(model)), form, sampling)
    assert [(answer.text.strip(), answer.finish, answer.prompt_tokens) for answer in there] == [
        (answer.text.strip(), answer.finish, answer.prompt_tokens) for answer in here
    ]


def test_missing_model_on_a_real_server(address: str) -> None:
    with (
        pytest.raises(BackendError, match="has no model 'other'"),
        create(OpenAIOptions(base_url=address)).teacher("other").sampler(),
    ):
        pass
