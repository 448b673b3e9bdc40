"""Stages of a solve: how many attempts there are at most, and how many equal answers end it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from voting.errors import PolicyError

#: The most attempts at one problem, as the request allows.
MAX_ATTEMPTS = 256


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """Up to `attempts` attempts in all, decided once `agree` of them give the same answer.

    Raises:
        PolicyError: not 1 <= agree <= attempts <= 256.
    """

    attempts: int
    agree: int

    def __post_init__(self) -> None:
        if not 1 <= self.agree <= self.attempts <= MAX_ATTEMPTS:
            raise PolicyError(
                f"stage {self.attempts}:{self.agree}: must be attempts:agree with agree from 1 to "
                f"attempts, and those at most {MAX_ATTEMPTS}; for example 4:3"
            )


def rising(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages.

    Raises:
        PolicyError: there is none, or one is not larger than the one before.
    """
    if not stages:
        raise PolicyError("0 stages: must be at least 1; for example 4:3, 8:4, 16:6")
    for before, after in pairwise(stages):
        if after.attempts <= before.attempts:
            raise PolicyError(
                f"stage {after.attempts}:{after.agree} after {before.attempts}:{before.agree}: "
                "each must have more attempts than the one before; sort them"
            )
    return tuple(stages)


def proportioned(attempts: int, agree: int) -> tuple[Stage, ...]:
    """Return the stages of a solve of which only the end is given.

    A quarter of the attempts that must agree in three of four, half that must in one of two, then
    all; for 16 attempts and 6 equal answers these are 4:3, 8:4, 16:6.
    """
    agree = min(agree, attempts)
    stages: list[Stage] = []
    for size, share in ((attempts // 4, 0.75), (attempts // 2, 0.5)):
        needed = max(2, round(share * size), stages[-1].agree if stages else 0)
        if needed <= size and (not stages or size > stages[-1].attempts):
            stages.append(Stage(size, min(needed, max(agree, 1))))
    return (*stages, Stage(attempts, max(agree, 1)))


def doubling(first: int, attempts: int) -> tuple[Stage, ...]:
    """Return stages of `first` attempts, twice as many, four times … up to `attempts`.

    They ask that all agree: when to stop is then for the early-stop policy to say.

    Raises:
        PolicyError: `first` is below 1.
    """
    if first < 1:
        raise PolicyError(f"doubling from {first} attempts: must be at least 1; for example 4")
    sizes = [min(first, attempts)]
    while sizes[-1] < attempts:
        sizes.append(min(2 * sizes[-1], attempts))
    return tuple(Stage(size, size) for size in sizes)


def within(stages: Sequence[Stage], attempts: int) -> tuple[Stage, ...]:
    """Return the stages of a solve that may take `attempts` attempts: cut off there.

    A last stage that would be larger is made as large as that, with an agreement in proportion.
    """
    kept = [stage for stage in stages if stage.attempts <= attempts]
    cut = next((stage for stage in stages if stage.attempts > attempts), None)
    if cut is not None and (not kept or kept[-1].attempts < attempts):
        least = kept[-1].agree if kept else 1
        agree = max(least, round(cut.agree * attempts / cut.attempts))
        kept.append(Stage(attempts, min(agree, attempts)))
    return tuple(kept)
