"""What a rehearsed model says after any prompt: right, repeatable, and resumable at any token."""

import contextlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from client.schema import AnswerKind
from server.dialect.base import Conversation, Dialect, MessageEnd, ToolCall
from server.engine.rehearsal.likely import NEUTRAL
from server.engine.rehearsal.machine import Habits
from server.engine.rehearsal.player import Player
from server.engine.rehearsal.problems import (
    problem_of,
    read_answers,
    right_answer,
    synthetic,
)
from server.engine.rehearsal.search import find, overlap
from server.prompts import compose, text
from server.solve.repetition import repeats
from server.vocabulary import Vocabulary
from tests.contract.dialects import RECIPES, family

SURE = "What is the remainder? [rehearsal: right=1]"
UNSURE = "What is the remainder? [rehearsal: right=0]"
HABITS = Habits(tokens_median=60, tokens_sigma=0.3, tokens_most=300, calls_median=3)


def player(key: str, **options: Any) -> Player:  # noqa: ANN401
    made = family(key)
    return Player(made.vocabulary, made.dialect, options.pop("habits", HABITS), **options)


@dataclass
class Talk:
    """One attempt as the gateway holds it: the model's turns and what its programs print."""

    dialect: Dialect
    vocabulary: Vocabulary
    problem: str = SURE
    tools: bool = True
    chosen: str = ""
    variant: str = ""
    run: Callable[[str], str] | None = None
    ids: list[int] = field(default_factory=list)
    turns: list[list[int]] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=lambda: {"math": __import__("math")})

    def __post_init__(self) -> None:
        prompt = compose(
            self.problem, AnswerKind.INTEGER, tools=self.tools, chosen=self.chosen,
            variant=self.variant,
        )  # fmt: skip
        self.conversation: Conversation = self.dialect.open(prompt)
        self.ids = list(self.conversation.opening)

    def hold(self, played: Player, seed: int = 1, most: int = 30) -> str:
        """Take turns to the end; return the final text."""
        for number in range(most):
            reply = played.reply(self.ids, seed + 1000 * number).ids
            call, ended = self.feed(reply)
            if call is not None:
                self.ids += self.conversation.result((self.run or self.execute)(call.code))
            elif ended:
                return self.conversation.answer_text
        raise AssertionError("the attempt does not end")

    def feed(self, reply: list[int]) -> tuple[ToolCall | None, bool]:
        self.turns.append([])
        for token_id in reply:
            self.ids.append(token_id)
            self.turns[-1].append(token_id)
            for event in self.conversation.feed(token_id):
                if isinstance(event, ToolCall):
                    return event, False
                if isinstance(event, MessageEnd):
                    return None, True
        return None, False

    def execute(self, code: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(code, self.names)  # noqa: S102 - what a kernel does
            except NameError as error:
                printed.write(f"NameError: {error}")
        return printed.getvalue()


def talk(key: str, **options: Any) -> Talk:  # noqa: ANN401
    made = family(key)
    return Talk(made.dialect, made.vocabulary, **options)


@pytest.mark.parametrize("key", RECIPES)
def test_a_right_attempt_computes_the_right_answer_in_every_dialect(key: str) -> None:
    attempt = talk(key)
    final = attempt.hold(player(key))
    assert final.endswith(f"\\boxed{{{right_answer(SURE)}}}.")
    assert len(attempt.turns) > 1


@pytest.mark.parametrize("chosen", ["", "harmony"])
def test_a_wrong_attempt_computes_a_wrong_answer(chosen: str) -> None:
    attempt = talk("harmony", problem=UNSURE, chosen=chosen)
    final = attempt.hold(player("harmony"))
    assert "\\boxed{" in final
    assert right_answer(UNSURE) not in final


@pytest.mark.parametrize("key", ["harmony", "qwen", "deepseek"])
def test_any_place_in_an_attempt_is_gone_on_from_exactly(key: str) -> None:
    attempt = talk(key)
    attempt.hold(player(key))
    chance = random.Random(0)
    place = len(attempt.conversation.opening)
    for turn in attempt.turns:
        place = find(attempt.ids, turn, place)
        # The attempt has no name yet in its first words.
        first = 30 if turn is attempt.turns[0] else 0
        for cut in chance.sample(range(first, len(turn)), 4):
            # Another process, another seed: all there is to go by is the prompt.
            rest = player(key).reply(attempt.ids[: place + cut], seed=chance.randrange(1000)).ids
            assert rest[: len(turn) - cut] == turn[cut:]
        place += len(turn)


def test_the_same_seeds_give_the_same_tokens_and_others_do_not() -> None:
    def said(seed: int, rehearsal: int) -> list[int]:
        attempt = talk("harmony")
        attempt.hold(player("harmony", seed=rehearsal), seed)
        return attempt.ids

    assert said(1, 0) == said(1, 0)
    assert said(1, 0) != said(2, 0)
    assert said(1, 0) != said(1, 7)


def test_the_problem_is_the_same_whatever_stands_around_it() -> None:
    key = problem_of(SURE).key
    for recipe in RECIPES:
        for tools in (True, False):
            chosen = family(recipe).dialect.name
            attempt = talk(recipe, tools=tools, chosen=chosen if chosen != "plain" else "")
            found = player(recipe)._statements.find(attempt.ids)
            assert problem_of(found).key == key


def test_a_prompt_without_tools_gets_no_programs() -> None:
    attempt = talk("harmony", tools=False, chosen="harmony")
    assert right_answer(SURE) in attempt.hold(player("harmony"))
    assert len(attempt.turns) == 1


def test_programs_that_print_nothing_are_tried_again_and_then_given_up() -> None:
    ran: list[str] = []

    def broken(code: str) -> str:
        ran.append(code)
        return "TimeoutError: stopped after 6 s"

    attempt = talk("harmony", run=broken)
    final = attempt.hold(player("harmony"))
    assert len(ran) == len(attempt.turns) - 1
    assert "def step" in ran[-1]
    assert right_answer(SURE) not in final


def test_an_answer_is_forced_in_mid_thought() -> None:
    played, attempt = player("harmony"), talk("harmony")
    attempt.feed(played.reply(attempt.ids, 1).ids[:20])
    attempt.ids += attempt.conversation.force_answer()
    attempt.feed(played.reply(attempt.ids, 2).ids)
    assert attempt.conversation.answer_text.strip().endswith("}.")


def test_a_review_confirms_the_answer() -> None:
    played, attempt = player("qwen"), talk("qwen")
    attempt.hold(played)
    attempt.ids += attempt.conversation.ask(text("review"))
    attempt.feed(played.reply(attempt.ids, 3).ids)
    assert attempt.conversation.answer_text.count(f"\\boxed{{{right_answer(SURE)}}}") == 2


def test_selectors_get_a_judgement() -> None:
    asked = text("judge_compare").replace("{count}", "3").replace("{problem}", SURE)
    made = family("harmony")
    ids = made.ids(f"<|start|>user<|message|>{asked}<|end|><|start|>assistant")
    said = made.vocabulary.decode(player("harmony").reply(ids, 5).ids)
    assert said.partition("\\boxed{")[2][0] in "123"


def test_long_attempts_never_count_as_loops() -> None:
    habits = Habits(tokens_median=20_000, tokens_sigma=0, tokens_most=20_000, calls_median=0)
    ids = player("harmony", habits=habits).reply(talk("harmony").ids, 1).ids
    assert len(ids) > 9_000
    assert not any(repeats(ids[:end]) for end in range(200, len(ids), 32))


def test_attempts_differ_in_how_sure_they_are_and_right_ones_are_surer() -> None:
    played = player("harmony")

    def mean(problem: str, seed: int) -> float:
        attempt = talk("harmony", problem=problem)
        attempt.hold(played, seed)
        mood = played.mood(attempt.ids)
        assert mood != NEUTRAL
        places = range(mood.begins, len(attempt.ids))
        return sum(map(mood.logprob, places)) / len(places)

    right = [mean(SURE, seed) for seed in range(20)]
    wrong = [mean(UNSURE, seed) for seed in range(20)]
    surer = sum(r > w for r in right for w in wrong) / 400
    assert 0.55 < surer < 0.95


def test_problems_of_a_file_have_their_own_answers(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    rows = [{"problem": SURE, "answer": 336}, {"problem": "And?", "answer": "x + 1"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    known = read_answers(path)
    attempt = talk("harmony")
    assert attempt.hold(player("harmony", known=known)).endswith("\\boxed{336}.")
    assert problem_of("And?", known).answer == "x + 1"


def test_synthetic_problems_can_be_told_apart_and_differ_in_hardness() -> None:
    rows = synthetic(200, seed=3)
    assert len({row["problem"] for row in rows}) == 200
    assert rows == synthetic(200, seed=3)
    likelihoods = [problem_of(row["problem"]).right for row in rows]
    assert 0.4 < sum(likelihoods) / 200 < 0.54
    assert min(likelihoods) < 0.15
    assert max(likelihoods) > 0.85


@pytest.mark.parametrize(
    ("ids", "part", "length"),
    [([], [1], 0), ([1, 2], [1, 2, 3], 2), ([9, 1, 1], [1, 1, 2], 2), ([1, 2, 3], [1, 2], 0),
     ([5, 1, 2, 1], [1, 2, 1, 3], 3)],
)  # fmt: skip
def test_overlap(ids: list[int], part: list[int], length: int) -> None:
    assert overlap(ids, part) == length


def test_find_takes_no_place_between_two_ids() -> None:
    assert find([256, 1, 65536], [1]) == 1
    assert find([1 << 8], [1]) == -1
    assert find([7, 7, 8], [7, 8], 1) == 1
