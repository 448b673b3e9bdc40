import re
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from server.replay.combinations import read_combination
from server.replay.commands import replay_command
from server.replay.errors import (
    LibraryUnwritten,
    MalformedCombination,
    PicturesUnavailable,
    RecordsUnreadable,
)
from server.replay.observe import Progress
from server.replay.page import page
from server.replay.plots import pictures
from server.replay.study import Study
from server.replay.work import Request, carry_out
from server.runs.errors import LibraryUnreadable
from server.runs.library import known_paths, read_library
from voting.machine import H100
from voting.policies import PolicyNames
from voting.replay.evaluate import Evaluator
from voting.replay.solve import Combination
from voting.replay.synthetic import Population, draw_population

HOSTILE = "<script>alert('x')</script> $\\frac{ [red]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four problems of eight attempts each, right in so many of them."""
    rows = [
        {"problem_id": f"p{rights}", "correct_answer": 1, "answer": 1 if number < rights else 2,
         "tokens": 1_000 * (number + 1), "tool_calls": number}
        for rights in (3, 5, 7, 8)
        for number in range(8)
    ]  # fmt: skip
    path = tmp_path / "attempts.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    return path


def call(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(replay_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_has_every_combination_and_is_the_same_again(file: Path) -> None:
    arguments = (file, "--rounds", 5, "--json", "--hours", 0.1, "--pairs", 1, "--problems", 4)
    first, again = call(*arguments), call(*arguments)
    assert first.exit_code == 0, first.output
    assert first.stdout == again.stdout
    told = orjson.loads(first.stdout)
    assert told["rounds"] == 5
    assert len(told["combinations"]) == 3
    baseline = told["combinations"][0]
    assert baseline["gain"] == [0, 0, 0]
    assert baseline["accuracy"][1] <= baseline["accuracy"][0] <= baseline["accuracy"][2]
    assert {each["budget"] for each in told["budgets"]} == {"greedy", "adaptive"}
    assert told["tuned"] is None


def test_tables_pictures_and_a_page(file: Path, tmp_path: Path) -> None:
    html, folder = tmp_path / "page.html", tmp_path / "pictures"
    result = call(
        file, "--rounds", 2, "--with", "name=[bold]mine[/]; early_stop=agree",
        "--html", html, "--png", folder, "--hours", 0.1, "--pairs", 1, "--problems", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "32 attempts at 4 of 4 problems" in result.stdout
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["accuracy_against_tokens.png", "budget_use_0.1h.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    text = html.read_text(encoding="utf-8")
    assert "[bold]mine[/]" in text
    assert text.count("data:image/png;base64,") == 2
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)


def test_tuning_is_shown(file: Path) -> None:
    result = call(file, "--rounds", 1, "--tune", 0.9, "--splits", 4, "--json")
    assert result.exit_code == 0, result.output
    tuned = orjson.loads(result.stdout)["tuned"]
    assert sum(tuned["choices"].values()) == 4


def test_made_up_attempts_are_said_to_be(file: Path) -> None:
    result = call("--synthetic", "--rounds", 1)
    assert result.exit_code == 0, result.output
    assert "Not recorded: synthetic attempts" in result.stdout
    assert call().exit_code == 2
    assert call(file, "--synthetic").exit_code == 2


def test_errors_are_sentences(file: Path, tmp_path: Path) -> None:
    absent = call(tmp_path / "absent.jsonl")
    assert isinstance(absent.exception, RecordsUnreadable)
    taken = call(file, "--rounds", 1, "--html", tmp_path)
    assert isinstance(taken.exception, PicturesUnavailable)
    assert "cannot be written" in str(taken.exception)


def study(name: str = "mine") -> Study:
    chosen = Combination(name, PolicyNames(), 4, 4)
    problems = draw_population(Population(problems=3, attempts=4), 0)
    return Study(
        source=name, notes=(name,), machine="h100", seed=0,
        evaluation=Evaluator(problems, [chosen], H100, 0).run(2),
    )  # fmt: skip


def test_what_names_say_is_text_on_the_page_and_in_pictures() -> None:
    hostile = study(HOSTILE)
    text = page(hostile, pictures(hostile))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "default-src &#x27;none&#x27;" in text


def test_equal_studies_have_equal_pictures() -> None:
    assert [one.png for one in pictures(study())] == [one.png for one in pictures(study())]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PicturesUnavailable, match=r'pip install "quorum-aimo\[plots\]"'):
        list(pictures(study()))


class Interrupting(Progress):
    """Interrupts as Control-C does, after so many rounds of the stage of a name."""

    def __init__(self, name: str, rounds: int) -> None:
        super().__init__()
        self._name, self._rounds = name, rounds

    def stage(self, name: str) -> Callable[[int, int], None]:
        def observe(done: int, total: int) -> None:  # noqa: ARG001
            if name == self._name and done == self._rounds:
                raise KeyboardInterrupt

        return observe


def request(**others: object) -> Request:
    return Request(
        source="made up", notes=(), machine=H100, rounds=6, seed=0, run_problems=3, pairs=2,
        problems=tuple(draw_population(Population(problems=4, attempts=8), 0)),
        combinations=(Combination("c", PolicyNames(), 8, 4),),
        **others,  # type: ignore[arg-type]
    )  # fmt: skip


def test_an_interrupt_shows_what_there_is() -> None:
    shown = carry_out(request(hours=(0.5,)), Interrupting("policies", 4))
    assert (shown.evaluation.rounds, dict(shown.budgets)) == (4, {})
    assert "Interrupted" in shown.notes[-1]
    later = carry_out(request(hours=(0.5, 0.6)), Interrupting("0.6 hours", 1))
    assert later.evaluation.rounds == 6
    assert list(later.budgets) == [0.5]
    assert "Interrupted" in later.notes[-1]


def test_a_library_for_budgets_is_written_and_read_by_runs(file: Path, tmp_path: Path) -> None:
    library = tmp_path / "library.json"
    result = call(file, "--rounds", 1, "--library", library)
    assert result.exit_code == 0, result.output
    read = read_library(library)
    assert (read.attempts, read.agree) == (8, 4)
    assert "32 attempts at 4 of 4 problems" in read.source
    assert len(read.paths) == 4 * 8
    assert known_paths(str(library)) == read.paths
    lost = call(file, "--rounds", 1, "--library", tmp_path / "missing" / "library.json")
    assert isinstance(lost.exception, LibraryUnwritten)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"format": "quorum-paths"}'])
def test_a_file_that_is_no_library_is_refused(content: bytes | None, tmp_path: Path) -> None:
    library = tmp_path / "library.json"
    if content is not None:
        library.write_bytes(content)
    with pytest.raises(LibraryUnreadable, match=r"runs\.library .*quorum replay --library"):
        known_paths(str(library))
    assert known_paths("none") == ()


def test_a_selector_that_asks_a_reward_model_is_answered_from_the_record(tmp_path: Path) -> None:
    """Five of eight attempts are wrong in the same way, and were rated so."""
    rows = [
        {"problem_id": "p", "correct_answer": 1, "answer": 1 if number < 3 else 2, "tokens": 100,
         "step_scores": [0.9, 0.8] if number < 3 else [0.9, 0.1]}
        for number in range(8)
    ]  # fmt: skip
    path = tmp_path / "attempts.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    names = ["majority", *(f"process_reward({how})" for how in ("last", "least", "product"))]
    wanted = [part for name in names for part in ("--with", f"selector={name}")]
    told = orjson.loads(call(path, "--rounds", 2, "--json", *wanted).stdout)
    assert [each["accuracy"][0] for each in told["combinations"]] == [0, 1, 1, 1]
    path.write_bytes(path.read_bytes().replace(b"0.1]", b"1.5]"))
    refused = call(path, "--rounds", 1)
    assert isinstance(refused.exception, RecordsUnreadable)
    assert "from 0 to 1" in str(refused.exception)


def test_the_machine_is_told_by_the_times_of_the_attempts(file: Path, tmp_path: Path) -> None:
    """At 50 tokens a second, however many decode, a first attempt of 1,000 tokens takes 20 s."""
    assert "no attempt says how long" in str(call(file, "--machine", "recorded").exception)
    rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    timed = [row | {"seconds": row["tokens"] / 50} for row in rows]
    timed[0]["seconds"] = None
    path = tmp_path / "timed.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in timed))
    arguments = ("--machine", "recorded", "--rounds", 1, "--json", "--with", "attempts=8")
    told = orjson.loads(call(path, *arguments).stdout)
    assert told["machine"] == "recorded"
    assert told["combinations"][0]["seconds"] == pytest.approx(8_000 / 50)


@pytest.mark.parametrize("written", ["attempts=x", "attempts=0", "agree=-1", "attempts=9999999999"])
def test_numbers_of_a_combination_that_are_none_are_told(written: str) -> None:
    with pytest.raises(MalformedCombination, match="must be a whole number from 1 on"):
        read_combination(written, attempts=4, agree=3)
