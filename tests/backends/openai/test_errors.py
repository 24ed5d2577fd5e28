"""What can't succeed ends in one line with the next command, without the key, and is not tried again."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pdistill.backends.openai import OpenAIOptions, create
from pdistill.cli.main import pdistill
from pdistill.core.contract.options import build
from pdistill.core.errors import BackendError, PdistillError
from tests.backends.openai.runs import flags, rows
from tests.backends.openai.toy import KEY, MODEL, Body, Reply, Toy, refusal

WRONG_KEY = "sk-nobodys-key-77aa"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def failed(folder: Path, *more: str) -> Result:
    result = CliRunner().invoke(pdistill, ["generate", *flags(folder), *more])
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines == result.stderr.splitlines()[-1:], result.output
    assert result.exit_code == 1
    return result


def in_no_file(folder: Path, *secrets: str) -> bool:
    return not any(
        secret in path.read_text() for path in (folder / "run").rglob("*") if path.is_file() for secret in secrets
    )


def test_a_key_that_is_refused(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", WRONG_KEY)
    result = failed(tmp_path)
    assert f"the service at {toy.url}/v1 refuses the key (401: Incorrect API key provided: ***" in result.stderr
    assert "set OPENAI_API_KEY to a valid key" in result.stderr
    assert WRONG_KEY not in result.output
    assert not (tmp_path / "run").exists() or in_no_file(tmp_path, WRONG_KEY)
    assert toy.asked == []


def test_key_is_sent_but_never_shown_or_stored(toy: Toy, tmp_path: Path) -> None:
    result = CliRunner().invoke(pdistill, ["generate", *flags(tmp_path), "--force"])
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    assert in_no_file(tmp_path, KEY)


def test_server_without_a_key(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    toy.key = None
    assert CliRunner().invoke(pdistill, ["generate", *flags(tmp_path)]).exit_code == 0
    toy.key = KEY
    assert "set OPENAI_API_KEY to a valid key" in failed(tmp_path / "other").stderr


def test_no_key_for_openai_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    said = failed(tmp_path).stderr
    assert "no API key is set for https://api.openai.com/v1; run: export OPENAI_API_KEY=sk-" in said


def test_malformed_key(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{WRONG_KEY}\u2028 x")
    result = failed(tmp_path)
    assert "OPENAI_API_KEY contains a character that is not allowed in a key" in result.stderr
    assert WRONG_KEY not in result.output


def test_unreachable_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    said = failed(tmp_path).stderr
    assert "can't reach the service at http://127.0.0.1:1/v1: connection refused; start it" in said
    assert "set OPENAI_BASE_URL or -B teacher.base_url=URL" in said
    assert not (tmp_path / "run" / "run.json").exists()


def test_unresponsive_address(silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", silent)
    assert f"can't reach the service at {silent}: it does not answer" in failed(tmp_path).stderr


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://x/v1", "http://me:secret@host/v1", "http://host/v1?key=secret"]
)
def test_invalid_address(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    said = failed(tmp_path).stderr
    assert "the service's address must have the form http://HOST:PORT/v1" in said
    assert "secret" not in said


def test_missing_model(toy: Toy, tmp_path: Path) -> None:
    said = failed(tmp_path, "--teacher=openai:org/toy-modle").stderr
    assert (
        f"has no model 'org/toy-modle' (404: The model `org/toy-modle` does not exist), did you mean '{MODEL}'?" in said
    )
    assert not (tmp_path / "run" / "run.json").exists()


def test_service_without_a_model_list_is_probed(toy: Toy) -> None:
    toy.names = None
    create(OpenAIOptions()).teacher(MODEL).check_available(None)  # type: ignore[attr-defined]
    assert [body["max_tokens"] for body in toy.asked] == [1]
    with pytest.raises(
        BackendError, match="has no model 'x' .* or its API is not OpenAI-compatible; .* usually ends in /v1"
    ):
        create(OpenAIOptions()).teacher("x").check_available(None)  # type: ignore[attr-defined]
    with pytest.raises(BackendError, match="its API is not OpenAI-compatible"):
        create(OpenAIOptions(base_url=toy.url)).teacher("x").check_available(None)  # type: ignore[attr-defined]


def test_student_is_refused_before_the_run_starts(toy: Toy, tmp_path: Path) -> None:
    said = failed(tmp_path, f"--student=openai:{MODEL}").stderr
    assert (
        f"backend openai can't train '{MODEL}', its models can only be teachers; choose a student of another backend"
        in said
    )
    assert not (tmp_path / "run").exists()
    assert toy.asked == []


def test_query_that_does_not_fit_is_named(toy: Toy, tmp_path: Path) -> None:
    queries = tmp_path / "long.jsonl"
    flags(tmp_path)
    long = '{"id": "long one", "query": "' + "a dog " * 3000 + '"}\n'
    queries.write_text('{"id": "short", "query": "a dog"}\n' + long)
    result = CliRunner().invoke(pdistill, ["generate", *flags(tmp_path), f"--queries={queries}", "--force"])
    assert result.exit_code == 0, result.output
    assert "no answer to query 'long one' (400: This model's maximum context length is 4096 tokens" in result.stderr
    queries.write_text(long)
    said = failed(tmp_path / "other", f"--queries={queries}").stderr
    assert "error: query 'long one' does not fit: This model's maximum context length is 4096 tokens. However" in said
    assert "shorten the prompt, leave the query out, or use a model with a longer context" in said


def test_query_refused_by_the_filter_is_rejected(toy: Toy, tmp_path: Path) -> None:
    def reply(body: Body) -> Reply | None:
        query = body["messages"][-1]["content"]
        return refusal(400, "The response was filtered", code="content_filter") if query.startswith("cats") else None

    toy.reply = reply
    assert CliRunner().invoke(pdistill, ["generate", *flags(tmp_path)]).exit_code == 0
    errors = {row["query"].split()[0] for row in rows(tmp_path) if row["finish"] == "error"}
    assert errors == {"cats"}
    assert {row["reason"] for row in rows(tmp_path) if row["finish"] == "error"} == {"400: The response was filtered"}
    rejected = [row["rejected"] for row in rows(tmp_path, "examples.jsonl") if row["rejected"]]
    assert rejected == ["the backend gave no answer"] * 5


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        "`temperature` is deprecated for this model.",
    ],
)
def test_temperature_that_the_model_does_not_take(toy: Toy, tmp_path: Path, words: str) -> None:
    toy.reply = lambda body: refusal(400, words) if body.get("temperature", 1) != 1 else None
    assert f"model '{MODEL}' does not support this temperature" in (shown := failed(tmp_path).stderr)
    assert "use --temperature 1" in shown


def test_both_temperature_and_top_p_where_the_model_takes_one(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: (
        refusal(400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
        if "temperature" in body and "top_p" in body
        else None
    )
    shown = failed(tmp_path, "--temperature=0.7", "--top-p=0.9").stderr
    assert f"model '{MODEL}' does not support both temperature and top_p" in shown
    assert "remove --top-p" in shown


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"window": "0"}, "invalid value 0 for option window of backend openai: must be at least 1"),
        (
            {"base_url": "http://me:secret@host/v1"},
            "base_url .* contains a user name, a password, a query string or a fragment",
        ),
        ({"base_url": "http://host/v1?key=secret"}, "base_url .* contains a user name, a password, a query string"),
        ({"base_url": "http://host/v1#frag"}, "base_url .* contains .* or a fragment; leave it out"),
        ({"extra": "low"}, "'low' for option extra of backend openai: it is not a JSON object"),
        ({"extra": '{"seed": 1}'}, "extra .* can't set 'seed'"),
        ({"price_promt": "1"}, "did you mean 'price_prompt'"),
        ({"api": "responses"}, "invalid value 'responses' for option api"),
    ],
)
def test_invalid_options_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(PdistillError, match=says):
        build(OpenAIOptions, values, "backend openai")


def test_price_is_known_if_both_are_given(tmp_path: Path) -> None:
    assert create(OpenAIOptions(price_prompt=1.0)).prices(MODEL) is None
    known = create(OpenAIOptions(price_prompt=1.0, price_sampled=2.0)).prices(MODEL)
    assert known is not None
    assert (known.prompt, known.sampled, known.trained) == (1.0, 2.0, 0.0)
    result = CliRunner().invoke(pdistill, ["generate", *flags(tmp_path), "--max-cost=1"])
    assert "give -B teacher.price_prompt=USD -B teacher.price_sampled=USD (USD per million" in result.stderr
