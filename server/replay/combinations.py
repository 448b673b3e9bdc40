"""Combinations of policies, and machines, as the command line writes them."""

import re
from dataclasses import fields
from pathlib import Path

import orjson

from server.replay.errors import MalformedCombination
from voting.errors import VotingError
from voting.machine import MACHINES, Machine, machine
from voting.policies import PolicyNames
from voting.replay.solve import Combination
from voting.strategies import strategy

KINDS = tuple(each.name for each in fields(PolicyNames))
NUMBERS = ("attempts", "agree")

STAGES = "staged(4:3, 8:4, 16:6)"
#: What is compared where nothing else is asked for. The first is the public baseline, the second
#: simple staging; the third is the least that keeps a lead of two votes.
DEFAULT_COMBINATIONS = (
    "name=8 attempts, stop at 4 equal; attempts=8; agree=4; early_stop=agree",
    f"name=staged 4 (3), 8 (4), 16 (6); attempts=16; launch={STAGES}; early_stop={STAGES}",
    "name=2 ahead, of 8 at most; attempts=8; launch=top_up(2); early_stop=ahead(2)",
)


def read_combination(text: str, attempts: int, agree: int) -> Combination:
    """Return the combination that a text writes: `key=value` pairs with semicolons between.

    Keys are those of the settings in section solve (`strategy`, `attempts`, `agree`, and the kinds
    of policy), and `name`. What is left out is the strategy's, or the default.

    Raises:
        MalformedCombination: the text is malformed, or names what there is not.
    """
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in ("name", "strategy", *NUMBERS, *KINDS) or key in given:
            raise MalformedCombination(
                f"combination {text[:80]!r}: {part[:40]!r}: must be key=value, each key once, of "
                f"name, strategy, {', '.join((*NUMBERS, *KINDS))}; for example "
                "'attempts=8; agree=4; early_stop=agree'"
            )
        given[key] = value
    return _made(text, given, {"attempts": attempts, "agree": agree})


def _made(text: str, given: dict[str, str], numbers: dict[str, int]) -> Combination:
    own = {key: value for key, value in given.items() if key in KINDS}
    try:
        numbers |= {key: _number(key, given[key]) for key in NUMBERS if key in given}
        names = PolicyNames(**own)
        if "strategy" in given:
            chosen = strategy(given["strategy"])
            names = chosen.named(own)
            numbers["attempts"] = chosen.attempts or numbers["attempts"]
        name = given.get("name", text.strip() or "default")
        return Combination(name, names, numbers["attempts"], numbers["agree"])
    except (ValueError, VotingError) as error:
        raise MalformedCombination(f"combination {text[:80]!r}: {error}") from error


def _number(key: str, text: str) -> int:
    if re.fullmatch(r"0*[1-9][0-9]{0,8}", text) is None:
        raise ValueError(f"{key} {text[:20]!r}: must be a whole number from 1 on; correct it")
    return int(text)


def read_machine(text: str) -> Machine:
    """Return the machine of a name, or that a JSON file describes.

    The file is an object with the fields of `voting.machine.Machine`.

    Raises:
        MalformedCombination: there is no such machine, or the file is not one.
    """
    if text in MACHINES:
        return machine(text)
    path = Path(text)
    try:
        described = orjson.loads(path.read_bytes())
        described["decode"] = tuple((int(n), float(speed)) for n, speed in described["decode"])
        return Machine(**{"name": path.stem, **described})
    except OSError as error:
        raise MalformedCombination(
            f"machine {text!r}: must be one of {', '.join(MACHINES)} or a file that can be read "
            f"({error.strerror or error}); choose one of these"
        ) from error
    except (ValueError, TypeError, KeyError, VotingError) as error:
        raise MalformedCombination(
            f"machine {text!r}: must be an object with name, decode (pairs of streams and "
            f"tokens/s), start_s, tool_call_s and slots: {error}; correct the file"
        ) from error
