"""Settings of how a problem is solved."""

from datetime import date
from typing import Self

from pydantic import Field, field_validator, model_validator

from server.prompts import sets, variants
from server.sections.section import Section
from server.solve.mix import parse_mix
from voting.catalogue import Context
from voting.errors import VotingError
from voting.policies import CATALOGUES, make_policies
from voting.strategies import STRATEGIES


class SolveSettings(Section):
    """How a problem is solved when the request does not say."""

    strategy: str = Field("tir", description="how attempts are made and chosen, by name")
    attempts: int = Field(4, ge=1, le=256, description="attempts per problem")
    agree: int = Field(
        3, ge=1, le=256, description="equal answers that stop the rest (at most attempts)"
    )
    max_turns: int = Field(16, ge=1, le=1000, description="turns per attempt")
    max_tokens: int = Field(
        6144, ge=1, le=1_000_000, description="sampled tokens per attempt, all turns together"
    )
    time_limit_s: float = Field(300.0, gt=0, le=86_400, description="seconds per problem")
    answer_reserve_s: float = Field(
        8.0,
        ge=0,
        description="seconds kept to force an answer: at most 15 % of the limit, more when slow",
    )
    temperature: float = Field(0.7, ge=0, le=5, description="sampling temperature")
    first_greedy: bool = Field(True, description="attempt 0 samples at temperature 0")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus sampling; 1 is off")
    min_p: float = Field(0.02, ge=0, lt=1, description="least share of the best token; 0 is off")
    top_k: int = Field(
        0, ge=0, le=1_000_000, description="most likely tokens that are sampled from; 0 is all"
    )
    result_tokens: int = Field(
        1024, ge=64, le=65_536, description="tokens of one tool result shown to the model"
    )
    dialect: str = Field("auto", description="how the model writes; auto finds it from the model")
    effort: str = Field(
        "high",
        pattern="^(low|medium|high)$",
        description="how much gpt-oss thinks: low|medium|high",
    )
    thinking: bool = Field(True, description="models that can leave thinking out think first")
    recipe: str = Field(
        "none",
        description="how further engines ([engines.NAME]) take part: none, or"
        " plan_then_code(engine=auto), reason_then_act(engine=auto), verify(engine=auto), or one"
        " of the first two and verify, joined by |",
    )
    today: str = Field(
        "none", description="date told to models that are told one (YYYY-MM-DD); none leaves it out"
    )
    prompts: str = Field("auto", description="set of prompt texts, by name; auto is the dialect's")
    mix: str = Field(
        "auto",
        description="what attempts differ in (temperature=0; variant=check top_p=0.9; …), in turn;"
        " auto is the model's preset, none is nothing",
    )

    @field_validator("today")
    @classmethod
    def _is_a_date(cls, today: str) -> str:
        if today == "none":
            return today
        try:
            return date.fromisoformat(today).isoformat()
        except ValueError as error:
            raise ValueError(f"must be none or a date like 2026-01-31 ({error})") from None

    @field_validator("strategy")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
        return name

    @field_validator("prompts")
    @classmethod
    def _is_a_set(cls, name: str) -> str:
        known = {"auto", "default", *sets()}
        if name not in known:
            raise ValueError(f"must be one of {', '.join(sorted(known))}")
        return name

    @field_validator("mix")
    @classmethod
    def _can_be_read(cls, mix: str) -> str:
        parse_mix(mix, variants())
        return mix

    weight: str = Field(
        "auto",
        description="what a vote weighs; auto is that of the model's preset with its mix, or the"
        " strategy's own",
    )
    selector: str = Field("auto", description="how the answer is chosen; auto: the strategy's own")
    early_stop: str = Field("auto", description="when the rest is stopped; auto as above")
    launch: str = Field("auto", description="when attempts are started; auto as above")
    prune: str = Field("auto", description="which running attempts are ended; auto as above")
    revision: str = Field("auto", description="whether attempts review answers; auto as above")
    likely_tokens: int = Field(
        20, ge=1, le=100, description="tokens a place whose log-probabilities confidence is from"
    )
    recorded_likely_tokens: int = Field(
        5,
        ge=0,
        le=100,
        description="tokens a place where no policy weighs confidence and it is only recorded; 0"
        " records neither log-probabilities nor confidence",
    )
    confidence_window: int = Field(
        2048, ge=1, le=1_000_000, description="tokens of the sliding window of confidence"
    )
    select_reserve_s: float = Field(
        30.0,
        ge=0,
        description="seconds kept for selectors that ask the model: at most 15 % of the limit",
    )
    symbolic: bool = Field(True, description="answers that differ are compared as mathematics")
    symbolic_timeout_s: float = Field(
        3.0, gt=0, le=60, description="seconds that one such comparison may take"
    )
    percent_is_number: bool = Field(False, description="50 % equals 50, and not one half")
    ordered_lists: bool = Field(False, description="1, 2 differs from 2, 1; (1, 2) always does")

    @model_validator(mode="after")
    def _policies_can_be_made(self) -> Self:
        try:
            make_policies(
                STRATEGIES[self.strategy].named(self.policy_names),
                Context(self.attempts, self.agree),
            )
        except VotingError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def policy_names(self) -> dict[str, str | None]:
        """The policies by kind, as they are written."""
        return {kind: getattr(self, kind) for kind in CATALOGUES}
