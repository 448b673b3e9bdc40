"""What attempts differ in: reading it, and what comes of it in a plan."""

import pytest

from client.schema import SolveRequest
from server.sections.solve import SolveSettings
from server.solve.mix import AttemptStyle, Mix, parse_mix
from server.solve.plan import SolvePlan, make_plan
from voting.errors import PolicyNameError
from voting.types import AttemptOutcome

VARIANTS = ("check", "chinese")
MIX = (
    "temperature=0; ; variant=chinese temperature=1.5 top_p=0.9; variant=check min_p=0.05 top_k=20"
)


def plan(request: SolveRequest | None = None, **settings: object) -> SolvePlan:
    values = SolveSettings.model_validate({"mix": MIX, "temperature": 0.7, **settings})
    return make_plan(request or SolveRequest(problem="x"), values, cell_timeout_s=1.0)


def test_entries_are_taken_in_turn() -> None:
    mix = parse_mix(MIX, VARIANTS)
    styles = [
        AttemptStyle(temperature=0.0),
        AttemptStyle(),
        AttemptStyle(variant="chinese", temperature=1.5, top_p=0.9),
        AttemptStyle(variant="check", min_p=0.05, top_k=20),
    ]
    assert [mix.of(attempt) for attempt in range(8)] == [*styles, *styles]


@pytest.mark.parametrize("text", ["", "none", "  "])
def test_no_mix_changes_nothing(text: str) -> None:
    assert parse_mix(text, VARIANTS) == Mix()
    assert Mix().of(3) == AttemptStyle()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("greedy", "'greedy': must be name=value"),
        ("temperature=0 temperature=1", "each name once"),
        ("beams=5", "'beams': must be one of variant, temperature, top_p, min_p, top_k, retry_"),
        ("top_k=5.5", "top_k '5.5': must be a number without a fraction, from 0 to 1,000,000"),
        ("top_k=inf", "top_k 'inf': must be a number"),
        ("top_k=-1", "top_k '-1': must be a number"),
        ("temperature=6", "temperature '6': must be a number from 0 to 5"),
        ("temperature=hot", "temperature 'hot': must be a number"),
        ("retry_temperature=6", "temperature '6': must be a number from 0 to 5"),
        ("top_p=0", "above 0, at most 1"),
        ("min_p=1", "at least 0, under 1"),
        ("min_p=nan", "min_p 'nan': must be a number"),
        ("variant=klingon", "variant 'klingon': must be one of check, chinese"),
        ("temperature=0; ;variant=", "must be one of"),
    ],
)
def test_malformed_mixes_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_mix(text, VARIANTS)


def test_attempts_sample_as_their_entries_say() -> None:
    made = plan(top_p=0.95, min_p=0.02, first_greedy=False)
    sampled = [made.sampling(attempt, 0, 10) for attempt in range(4)]
    assert [sampling.temperature for sampling in sampled] == [0.0, 0.7, 1.5, 0.7]
    assert [sampling.top_p for sampling in sampled] == [0.95, 0.95, 0.9, 0.95]
    assert [sampling.min_p for sampling in sampled] == [0.02, 0.02, 0.02, 0.05]
    assert [sampling.top_k for sampling in sampled] == [0, 0, 0, 20]
    assert made.mix.of(2).variant == "chinese"


def test_an_entrys_temperature_goes_before_the_greedy_first() -> None:
    assert plan(mix="temperature=0.3", first_greedy=True).sampling(0, 0, 1).temperature == 0.3
    assert plan(mix="variant=check", first_greedy=True).sampling(0, 0, 1).temperature == 0.0


def test_what_a_request_names_holds_for_every_attempt() -> None:
    made = plan(SolveRequest(problem="x", temperature=0.2, top_p=0.5))
    sampled = [made.sampling(attempt, 0, 10) for attempt in range(4)]
    assert {sampling.temperature for sampling in sampled} == {0.2}
    assert {sampling.top_p for sampling in sampled} == {0.5}
    assert (sampled[3].min_p, sampled[3].top_k) == (0.05, 20)
    assert plan(SolveRequest(problem="x", top_k=0)).sampling(3, 0, 10).top_k == 0
    assert made.mix.of(3).variant == "check"


def test_after_a_failed_program_an_entry_may_sample_otherwise() -> None:
    mix = "temperature=0 retry_temperature=0.6; temperature=0"
    made, named = plan(mix=mix), plan(SolveRequest(problem="x", temperature=0.2, mix=mix))
    assert made.sampling(0, 0, 10).temperature == 0.0
    assert made.sampling(0, 1, 10, retry=True).temperature == 0.6
    assert made.sampling(1, 1, 10, retry=True).temperature == 0.0
    assert named.sampling(0, 1, 10, retry=True).temperature == 0.2


@pytest.mark.parametrize(
    ("prompts", "chosen"), [("auto", "qwen"), ("default", ""), ("numina", "numina")]
)
def test_the_set_of_prompts_is_the_dialects_unless_named(prompts: str, chosen: str) -> None:
    assert plan(prompts=prompts).prompt_set("qwen") == chosen


@pytest.mark.parametrize("mix", ["none", MIX])
def test_attempts_that_were_missing_are_as_they_would_have_been(mix: str) -> None:
    whole = plan(SolveRequest(problem="x", seed=5), mix=mix)
    rest = plan(SolveRequest(problem="x", seed=7, offset=2), mix=mix)
    for attempt in range(3):
        assert rest.sampling(attempt, 0, 9) == whole.sampling(attempt + 2, 0, 9)
        assert rest.style(attempt) == whole.style(attempt + 2)


def test_a_request_has_a_mix_of_its_own() -> None:
    own = plan(SolveRequest(problem="x", mix="variant=french; temperature=0.2"))
    assert [own.style(n).variant for n in range(3)] == ["french", "", "french"]
    assert own.attempt_temperature(1) == 0.2
    assert plan(SolveRequest(problem="x", mix="none")).mix == Mix()
    assert plan(SolveRequest(problem="x", mix="auto")).mix == plan().mix
    with pytest.raises(PolicyNameError, match="mix: variant 'klingon': must be one of"):
        plan(SolveRequest(problem="x", mix="variant=klingon"))


WEIGHT = "tool_errors(floor=0.25)*entries(1, 2, 3, 4)"


def entry_weights(made: SolvePlan) -> list[float]:
    outcomes = (AttemptOutcome(attempt=n, answer=None, finished=True) for n in range(4))
    return [made.policies.weight.decide(outcome).weight for outcome in outcomes]


def test_votes_of_attempts_that_were_missing_weigh_what_their_entries_do() -> None:
    assert entry_weights(plan(weight=WEIGHT)) == [1, 2, 3, 4]
    assert entry_weights(plan(SolveRequest(problem="x", offset=3), weight=WEIGHT)) == [4, 1, 2, 3]


@pytest.mark.parametrize("mix", ["none", "temperature=0; variant=french"])
@pytest.mark.parametrize(("weight", "left"), [(WEIGHT, 0.25), ("entries(1, 2)", 1.0)])
def test_entries_of_a_requests_own_mix_do_not_weigh_what_others_do(
    mix: str, weight: str, left: float
) -> None:
    made = plan(SolveRequest(problem="x", mix=mix), weight=weight)
    assert entry_weights(made) == [1, 1, 1, 1]
    failed = AttemptOutcome(attempt=1, answer=None, finished=True, tool_calls=1, tool_errors=1)
    assert made.policies.weight.decide(failed).weight == left
    asked = SolveRequest(problem="x", mix=mix, weight="entries(1, 5)")
    assert entry_weights(plan(asked, weight=weight)) == [1, 5, 1, 5]
    with_auto = plan(SolveRequest(problem="x", mix=mix), weight="auto")
    assert with_auto.policies.weight == plan(weight="auto").policies.weight
