"""The parts of the solve loop that are pure: token record, repetition, plans."""

import itertools
import random

import pytest

from client.schema import MAX_SEED, SegmentKind, SolveRequest
from server.sections.solve import SolveSettings
from server.solve.plan import SolvePlan, make_plan
from server.solve.record import TokenRecord
from server.solve.repetition import (
    COPIES,
    LONGEST_PARAGRAPH,
    LONGEST_PERIOD,
    WINDOW,
    repeats,
    repeats_items,
    repeats_paragraph,
)
from voting.errors import UnknownStrategyError


class TestTokenRecord:
    def test_segments_join_to_the_ids(self) -> None:
        record = TokenRecord([1, 2, 3])
        for token_id in (4, 5):
            record.sample(token_id, -0.5)
        record.append([6, 7])
        record.append([8])
        record.sample(9, -1.5)
        assert record.ids == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert [(s.kind, s.start, s.ids) for s in record.segments] == [
            (SegmentKind.APPENDED, 0, [1, 2, 3]),
            (SegmentKind.SAMPLED, 3, [4, 5]),
            (SegmentKind.APPENDED, 5, [6, 7, 8]),
            (SegmentKind.SAMPLED, 8, [9]),
        ]
        assert [s.logprobs for s in record.segments] == [[], [-0.5, -0.5], [], [-1.5]]

    def test_lost_log_probabilities_leave_their_places(self) -> None:
        record = TokenRecord([1])
        for token_id, logprob in ((2, None), (3, -0.5), (4, None), (5, -1.5)):
            record.sample(token_id, logprob)
        assert record.segments[-1].logprobs == [None, -0.5, None, -1.5]

    def test_confidence_goes_with_its_token_whatever_is_missing(self) -> None:
        record = TokenRecord([1])
        for token_id, confidence in ((2, None), (3, 4.5), (4, None)):
            record.sample(token_id, -0.5, confidence)
        assert record.segments[-1].confidence == [None, 4.5, None]
        assert record.segments[-1].logprobs == [-0.5, -0.5, -0.5]

    def test_counts_tell_the_opening_apart(self) -> None:
        record = TokenRecord([1, 2, 3])
        record.append([4])
        record.sample(5)
        record.append([6, 7])
        counts = record.counts()
        assert (counts.prompt, counts.sampled, counts.appended) == (3, 1, 3)

    def test_the_opening_is_copied(self) -> None:
        opening = [1]
        record = TokenRecord(opening)
        record.sample(2)
        assert opening == [1]
        assert record.segments[0].ids == [1]


class TestRepetition:
    @pytest.mark.parametrize("period", [1, 2, 7, 63, LONGEST_PERIOD])
    def test_a_loop_is_seen_as_soon_as_the_window_is_full(self, period: int) -> None:
        loop = list(range(period)) * (WINDOW // period + 2)
        assert not repeats(loop[: WINDOW - 1])
        assert repeats(loop[:WINDOW])
        assert repeats([*range(1000, 2000), *loop])

    def test_one_other_token_is_no_loop(self) -> None:
        loop = [1, 2, 3] * 100
        loop[-WINDOW // 2] = 9
        assert not repeats(loop)

    @pytest.mark.parametrize("period", [LONGEST_PERIOD, 200, 777, LONGEST_PARAGRAPH])
    def test_a_paragraph_is_a_loop_once_it_came_thrice(self, period: int) -> None:
        before, paragraph = [*range(5000, 7000)], [*range(period)]
        assert repeats_paragraph([*before, *paragraph * COPIES])
        assert repeats_paragraph([*before, *paragraph * (COPIES + 2), *paragraph[: period // 2]])
        assert not repeats_paragraph([*before, *paragraph * (COPIES - 1)])
        assert not repeats_paragraph([*before, *paragraph * COPIES, 4999])
        assert repeats(paragraph * COPIES) is (period <= LONGEST_PERIOD)

    def test_a_paragraph_may_say_something_twice(self) -> None:
        paragraph = [*range(70), 100, *range(70), 200, *range(70)]
        assert repeats_paragraph(paragraph * COPIES)
        assert not repeats_paragraph(paragraph * 2)

    def test_what_is_too_long_or_too_short_is_no_paragraph(self) -> None:
        assert not repeats_paragraph([*range(LONGEST_PARAGRAPH + 1)] * COPIES)
        assert not repeats_paragraph([])
        assert not repeats_paragraph([1, 2, 3])

    @pytest.mark.parametrize(
        "counter", ["{}. ", "  {}) ", "**Step {}:** ", "### {}. ", "Case {}: "]
    )
    def test_items_of_a_list_are_compared_without_their_counters(self, counter: str) -> None:
        said = ["We subtract the equations:\n\\[\na - c = 11\n\\]\n", "Now we have a + c = -5.\n\n"]
        listed = [f"{counter.format(n)}{said[n % 2]}" for n in range(9, 9 + 60)]
        assert repeats_items("".join(["To begin:\n", *listed]))
        assert not repeats_items("".join(listed[:8]))
        other = [*listed[:-6], "66. Now we have a + c = -6.\n\n", *listed[-5:]]
        assert not repeats_items("".join(other))

    def test_short_items_and_other_numbers_are_no_loop(self) -> None:
        assert not repeats_items("".join(f"{n}. not prime\n" for n in range(500)))
        squares = (f"{n}. The square of {n} is {n * n}, which is not the sum.\n" for n in range(99))
        assert not repeats_items("".join(squares))
        assert not repeats_items("")

    def test_a_table_of_numbers_is_no_loop(self) -> None:
        numbers = random.Random(1)
        table = itertools.chain.from_iterable((1, 2, numbers.randrange(10), 3) for _ in range(99))
        assert not repeats([*table])


def plan_of(settings: SolveSettings | None = None, **request: object) -> SolvePlan:
    wanted = SolveRequest.model_validate({"problem": "1 + 1?", **request})
    return make_plan(wanted, settings or SolveSettings(), cell_timeout_s=6.0)


class TestPlan:
    def test_what_is_left_out_comes_from_the_settings(self) -> None:
        settings = SolveSettings(attempts=7, agree=5, time_limit_s=50.0, strategy="majority_vote")
        plan = plan_of(settings)
        assert (plan.attempts, plan.agree, plan.time_limit_s) == (7, 5, 50.0)
        assert plan.strategy.name == "majority_vote"

    def test_agreement_is_never_more_than_the_attempts(self) -> None:
        assert plan_of(SolveSettings(agree=4), attempts=2).agree == 2

    def test_zero_is_a_value(self) -> None:
        plan = plan_of(temperature=0.0, min_p=0.0, seed=0)
        assert (plan.temperature, plan.min_p) == (0.0, 0.0)

    @pytest.mark.parametrize(("limit_s", "reserve_s"), [(300.0, 8.0), (10.0, 1.5), (0.1, 0.015)])
    def test_the_reserve_is_bounded_by_the_limit(self, limit_s: float, reserve_s: float) -> None:
        assert plan_of(time_limit_s=limit_s).reserve(limit_s) == pytest.approx(reserve_s)

    def test_seeds_stay_in_range(self) -> None:
        plan = plan_of(seed=MAX_SEED)
        seeds = [plan.sampling(attempt, 999, 1).seed for attempt in range(256)]
        assert len(set(seeds)) == 256
        assert all(0 <= seed <= MAX_SEED for seed in seeds)

    def test_seeds_of_neighbouring_attempts_and_turns_differ(self) -> None:
        plan = plan_of(seed=3)
        pairs = itertools.product(range(64), range(128))
        seeds = {plan.sampling(attempt, stream, 1).seed for attempt, stream in pairs}
        assert len(seeds) == 64 * 128

    def test_an_unknown_strategy_is_refused(self) -> None:
        with pytest.raises(UnknownStrategyError, match="strategy 'best'"):
            plan_of(strategy="best")
