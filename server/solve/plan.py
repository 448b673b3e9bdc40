"""What a solve will do: the request over the settings, checked before anything is reserved."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from client.schema import MAX_SEED, AnswerKind, SolveRequest
from server.engine.base import Sampling
from server.prompts import variants
from server.sections.solve import SolveSettings
from server.solve.mix import NUMBERS, AttemptStyle, Mix, parse_mix
from server.solve.recipe import NO_RECIPE, VERIFYING_SELECTOR, Recipe, read_recipe
from voting.catalogue import Context
from voting.equivalence import AnswerRules
from voting.errors import PolicyNameError
from voting.policies import CATALOGUES, WEIGHTS, Policies, PolicyNames, make_policies
from voting.strategies import AUTO, Strategy, strategy

#: The reserve for forcing answers is never more than this share of the time limit.
MOST_RESERVED = 0.15
#: Nor is the reserve for selecting.
MOST_SELECTING = 0.15
#: Spreads the seeds of one attempt's turns, so that no turn repeats another's random numbers.
TURN_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvePlan:
    """The values in force for one solve; times in seconds, tokens per attempt."""

    problem: str
    problem_id: str | None
    answer_kind: AnswerKind
    strategy: Strategy
    policy_names: PolicyNames
    policies: Policies
    rules: AnswerRules
    symbolic: bool
    likely_tokens: int
    recorded_likely_tokens: int
    confidence_window: int
    attempts: int
    agree: int
    max_turns: int
    max_tokens: int
    result_tokens: int
    time_limit_s: float
    answer_reserve_s: float
    selecting_s: float
    cell_timeout_s: float
    temperature: float
    first_greedy: bool
    top_p: float
    min_p: float
    top_k: int
    seed: int
    offset: int
    with_tokens: bool
    prompts: str
    mix: Mix
    recipe: Recipe = NO_RECIPE

    def reserve(self, limit_s: float) -> float:
        """Return the seconds of a time limit that are kept for forcing an answer."""
        return min(self.answer_reserve_s, MOST_RESERVED * limit_s)

    def select_reserve(self, limit_s: float) -> float:
        """Return the seconds of a time limit that are kept for selecting."""
        return min(self.selecting_s, MOST_SELECTING * limit_s)

    def attempt_seed(self, attempt: int) -> int:
        """Return the seed of an attempt: the request's plus its index."""
        return (self.seed + attempt) % (MAX_SEED + 1)

    def attempt_temperature(self, attempt: int) -> float:
        """Return the temperature of an attempt: the mix's, else 0 for the first where so set."""
        if self.strategy.greedy:
            return 0.0
        own = self.style(attempt).temperature
        if own is not None:
            return own
        return 0.0 if self.first_greedy and attempt + self.offset == 0 else self.temperature

    def style(self, attempt: int) -> AttemptStyle:
        """Return what an attempt does differently."""
        return self.mix.of(attempt + self.offset)

    def prompt_set(self, dialect: str) -> str:
        """Return the set of prompt texts for a model of a dialect; empty is the common one."""
        return {"auto": dialect, "default": ""}.get(self.prompts, self.prompts)

    def sampling(
        self,
        attempt: int,
        stream: int,
        max_tokens: int,
        *,
        recorded: bool = False,
        retry: bool = False,
    ) -> Sampling:
        """Return the sampling of the attempt's `stream`-th request to the engine.

        `recorded`: somebody keeps the tokens, and so their log-probabilities. `retry`: the
        attempt's last program failed.
        """
        likely = self.recorded_likely_tokens if recorded else 0
        seed = (self.attempt_seed(attempt) + stream * TURN_STRIDE) % (MAX_SEED + 1)
        own = self.style(attempt)
        again = own.retry_temperature if retry else None
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.attempt_temperature(attempt) if again is None else again,
            seed=seed,
            top_p=self.top_p if own.top_p is None else own.top_p,
            min_p=self.min_p if own.min_p is None else own.min_p,
            top_k=self.top_k if own.top_k is None else own.top_k,
            top_logprobs=self.likely_tokens if self.policies.needs_scores else likely,
        )


def make_plan(
    request: SolveRequest,
    settings: SolveSettings,
    *,
    cell_timeout_s: float,
    engines: Collection[str] = (),
) -> SolvePlan:
    """Return the plan of a request; `engines` are the names of those that recipes may use.

    Raises:
        UnknownStrategyError: no strategy of that name.
        PolicyNameError: a policy or recipe is written in a way that names none.
    """
    chosen = strategy(request.strategy or settings.strategy)
    attempts = chosen.attempts or request.attempts or settings.attempts
    time_limit_s = request.time_limit_s or settings.time_limit_s
    agree = min(request.agree or settings.agree, attempts)
    recipe = read_recipe(request.recipe or settings.recipe, engines)
    context = Context(attempts, agree, offset=request.offset)
    names, policies = _policies(chosen, request, settings, recipe, context)
    # What the request names holds for every attempt, its temperature for every turn.
    named = [name for name in NUMBERS if getattr(request, name.removeprefix("retry_")) is not None]
    mix = _mix(request.mix if _has_mix(request) else settings.mix).without(*named)
    temperature, first_greedy = request.temperature, False
    if temperature is None:
        temperature, first_greedy = settings.temperature, settings.first_greedy
    return SolvePlan(
        problem=request.problem,
        problem_id=request.problem_id,
        answer_kind=request.answer_kind,
        strategy=chosen,
        policy_names=names,
        policies=policies,
        rules=AnswerRules(
            percent_is_number=settings.percent_is_number, ordered_lists=settings.ordered_lists
        ),
        symbolic=settings.symbolic,
        likely_tokens=settings.likely_tokens,
        recorded_likely_tokens=settings.recorded_likely_tokens,
        confidence_window=settings.confidence_window,
        attempts=attempts,
        agree=agree,
        max_turns=request.max_turns or settings.max_turns,
        max_tokens=request.max_tokens or settings.max_tokens,
        result_tokens=settings.result_tokens,
        time_limit_s=time_limit_s,
        answer_reserve_s=settings.answer_reserve_s,
        selecting_s=settings.select_reserve_s if policies.asks else 0.0,
        cell_timeout_s=cell_timeout_s,
        temperature=temperature,
        first_greedy=first_greedy,
        top_p=settings.top_p if request.top_p is None else request.top_p,
        min_p=settings.min_p if request.min_p is None else request.min_p,
        top_k=settings.top_k if request.top_k is None else request.top_k,
        seed=request.seed,
        offset=request.offset,
        with_tokens=request.tokens,
        prompts=settings.prompts,
        mix=mix,
        recipe=recipe,
    )


def _policies(
    chosen: Strategy,
    request: SolveRequest,
    settings: SolveSettings,
    recipe: Recipe,
    context: Context,
) -> tuple[PolicyNames, Policies]:
    own = _own_policies(request, settings)
    asked = {kind: getattr(request, kind) or own.get(kind) for kind in CATALOGUES}
    names = chosen.named(asked)
    policies = make_policies(names, context)
    if recipe.judge and asked["selector"] in (None, "", AUTO) and not policies.asks:
        names = replace(names, selector=VERIFYING_SELECTOR)
        policies = make_policies(names, context)
    return names, policies


def _own_policies(request: SolveRequest, settings: SolveSettings) -> dict[str, str | None]:
    """Return the policies of the settings that are for what the request asks.

    A strategy that it names comes with its own. What entries of the settings' mix weigh says
    nothing of the entries of another mix.
    """
    if request.strategy is not None:
        return {}
    own = settings.policy_names
    if _has_mix(request):
        own["weight"] = WEIGHTS.without("entries", settings.weight) or "plain"
    return own


def _has_mix(request: SolveRequest) -> bool:
    return request.mix not in (None, "", AUTO)


def _mix(text: str | None) -> Mix:
    try:
        return parse_mix(text or "none", variants())
    except ValueError as error:
        raise PolicyNameError(f"mix: {error}", "mix") from error
