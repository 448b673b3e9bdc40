"""What a caller may ask for, and within which bounds."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from client.schema.base import Flag, Integer, Number, RequestModel
from client.schema.values import AnswerKind

#: Longest problem accepted, in characters. The longest problem of MATH is 4,300 characters; a
#: problem of this length still leaves room to think in an 8,192-token context.
MAX_PROBLEM_CHARS = 16_000
MAX_ATTEMPTS = 256
#: Longest name of a policy with its arguments, in characters.
MAX_POLICY_CHARS = 400
#: A mix of 16 attempts that names everything has fewer characters.
MAX_MIX_CHARS = 2_000
MAX_SEED = 2**31 - 1
#: The names of runs: they are part of paths and of file names, where `.` and `..` mean others.
RUN_ID_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"


class Policies(RequestModel):
    """Policies of a solve, each by its name; one left out takes the setting."""

    weight: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="What a vote weighs, by name."
    )
    selector: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="How the answer is chosen, by name."
    )
    early_stop: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="When the rest is stopped, by name."
    )
    launch: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="When attempts start, by name."
    )
    prune: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="Which attempts are ended, by name."
    )
    mix: str | None = Field(
        default=None,
        max_length=MAX_MIX_CHARS,
        description="What attempts differ in, in turn, as in the setting `solve.mix`: "
        "`temperature=0; variant=chinese`; `none`: nothing.",
    )
    recipe: str | None = Field(
        default=None,
        max_length=MAX_POLICY_CHARS,
        description="How further engines of the server take part, by name; `none`: not.",
    )
    revision: str | None = Field(
        default=None, max_length=MAX_POLICY_CHARS, description="Whether answers are reviewed."
    )


class SolveOptions(Policies):
    """How to solve: what a solve and a run may both say. A field left out takes the setting."""

    answer_kind: AnswerKind = Field(
        default=AnswerKind.TEXT, description="`integer`: contest mode, 0-99999; `text`: any."
    )
    strategy: str | None = Field(
        default=None, max_length=40, description="How attempts are made and chosen, by name."
    )
    attempts: Integer | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
    agree: Integer | None = Field(
        default=None, ge=1, le=MAX_ATTEMPTS, description="Stop at this many equal answers."
    )
    max_turns: Integer | None = Field(
        default=None, ge=1, le=1_000, description="Most turns per attempt."
    )
    max_tokens: Integer | None = Field(
        default=None, ge=1, le=1_000_000, description="Most sampled tokens per attempt."
    )
    temperature: Number | None = Field(default=None, ge=0, le=5)
    top_p: Number | None = Field(default=None, gt=0, le=1)
    min_p: Number | None = Field(default=None, ge=0, lt=1)
    top_k: Integer | None = Field(default=None, ge=0, le=1_000_000)
    seed: Integer = Field(
        default=0, ge=0, le=MAX_SEED, description="Attempt i samples with seed + i."
    )
    offset: Integer = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        description="Attempts had before: attempt i is asked and samples as attempt offset + i"
        " would, but for its seed. So an evaluation asks for what it lacks.",
    )

    @model_validator(mode="after")
    def _agreement_can_be_reached(self) -> Self:
        if self.agree is not None and self.attempts is not None and self.agree > self.attempts:
            raise ValueError(
                f"agree {self.agree}: must be at most attempts ({self.attempts}); "
                "lower agree or raise attempts"
            )
        return self


class Statement(RequestModel):
    """A problem, and where it belongs."""

    problem: str = Field(
        description="The statement, as plain text (Markdown and LaTeX welcome).",
        max_length=MAX_PROBLEM_CHARS,
        examples=["What is the remainder when $7^{2024}$ is divided by 1000?"],
    )
    problem_id: str | None = Field(default=None, max_length=256, description="The caller's name.")
    run: str | None = Field(
        default=None,
        pattern=RUN_ID_PATTERN,
        description="The run that it belongs to; it then needs a `problem_id`, and a problem that "
        "has a result there is answered with that, at once.",
    )

    @field_validator("problem")
    @classmethod
    def _problem_is_text(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the problem is empty: give its statement as text")
        unprintable = next((c for c in value if ord(c) < 32 and c not in "\t\n\r\f"), None)
        if unprintable is not None:
            raise ValueError(
                f"the problem holds the control character U+{ord(unprintable):04X}: "
                "it must be text; remove binary data"
            )
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError("the problem holds a lone surrogate: it must be valid Unicode text")
        return value

    @field_validator("problem_id")
    @classmethod
    def _name_is_text(cls, value: str | None) -> str | None:
        if value is not None and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError("problem_id holds a lone surrogate: it must be valid Unicode text")
        return value

    @model_validator(mode="after")
    def _is_named_in_its_run(self) -> Self:
        if self.run is not None and not self.problem_id:
            raise ValueError(
                f"run {self.run}: its problems must have a name; give problem_id, by which a "
                "problem that is asked again is known"
            )
        return self


class SolveRequest(SolveOptions, Statement):
    """One problem to solve. A field left out takes the server's setting."""

    time_limit_s: Number | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds that solving may take, the wait in the queue not counted.",
    )
    again: Flag = Field(
        default=False,
        description="Solve a problem of the run anew where its result there has no answer.",
    )
    tokens: Flag = Field(
        default=False, description="Also send the token ids (`attempt.segment` events)."
    )
