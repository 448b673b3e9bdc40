"""What the options of `quorum solve` ask for, checked before anything is started."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from client.errors import UsageError
from client.http import checked_url
from client.schema import MAX_PROBLEM_CHARS, SolveRequest
from client.session import ServerChoice
from client.solving import Show, fitting_show

#: UTF-8 takes at most four bytes a character.
_MAX_INPUT_BYTES = 4 * MAX_PROBLEM_CHARS

#: Characters of a refused value that a message repeats.
_SHOWN_CHARS = 40

#: What nobody means as a problem: the name of an option, alone or with its value.
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=\S*)?")

#: Options that are not named as the request's fields.
_OPTION_OF = {
    "max_turns": "turns",
    "max_tokens": "tokens",
    "time_limit_s": "time-limit",
    "answer_kind": "kind",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The fields of a request that the options give."""

    fields: Mapping[str, object]

    def check(self) -> None:
        """Raise `UsageError` for options that no problem could have."""
        self.request("any")

    def request(self, problem: str) -> SolveRequest:
        """Return the request for a problem; raises `UsageError`."""
        try:
            return SolveRequest.model_validate({**self.fields, "problem": problem})
        except ValidationError as error:
            raise UsageError("; ".join(map(_fault, error.errors()))) from error

    def request_of(self, problem: str, problem_id: str) -> SolveRequest:
        """Return the request for a named problem; raises pydantic's `ValidationError`."""
        named = {**self.fields, "problem": problem, "problem_id": problem_id}
        return SolveRequest.model_validate(named)

    def request_in_run(self, problem: str, problem_id: str) -> SolveRequest:
        """Return the same for a problem of a run, which knows its problems by their names."""
        if not problem_id:
            raise ValueError("field id: empty; with --time each problem needs a name")
        return self.request_of(problem, problem_id)


def _fault(error: ErrorDetails) -> str:
    """Word one error of validation as constraint, value and remedy."""
    constraint = re.sub(r"^(Input|String) should ", "must ", error["msg"])
    if not error["loc"] or error["type"] == "value_error":
        # The schema's own words, remedy included.
        named = f"{error['loc'][0]}: " if error["loc"] else ""
        return named + constraint.removeprefix("Value error, ")
    field = str(error["loc"][0])
    if field == "problem":
        remedy = "shorten it" if error["type"] == "string_too_long" else "give it as UTF-8 text"
        return f"problem: {constraint}; {remedy}"
    value = str(error["input"])[:_SHOWN_CHARS]
    return f"--{_OPTION_OF.get(field, field)} {value}: {constraint}; correct it or leave it out"


def wish_of(**fields: object) -> Wish:
    """Return the wish of the options that were given (not None), by the request's names."""
    return Wish({name: value for name, value in fields.items() if value is not None})


def split_words(
    problem: str | None, more: Sequence[str] | None, *, from_file: bool
) -> tuple[str | None, list[str]]:
    """Tell the problem from the server's options, which follow it; raises `UsageError`.

    With --file there is no problem: every word is an option of the server.
    """
    arguments = list(more or ())
    if from_file and problem is not None:
        arguments = [problem, *arguments]
        problem = None
    if problem is not None and _OPTION.fullmatch(problem):
        raise UsageError(
            f"{problem}: is an option of the server, and there is no problem before it; write "
            "quorum solve PROBLEM -- OPTIONS"
        )
    if arguments and not arguments[0].startswith("-"):
        remedy = "with --file there is no problem" if from_file else "put the problem in quotes"
        raise UsageError(f"unexpected word {arguments[0]!r}: {remedy}")
    return problem, arguments


def refuse_of_files(*, time: float | None, out: Path | None, parallel: int) -> None:
    """Raise `UsageError` for options of --file: without one they would do nothing."""
    if time is not None:
        raise UsageError("--time: is for --file; a single problem has --time-limit")
    if out is not None:
        raise UsageError("--out: is for --file; a single problem has --json on standard output")
    if parallel != 1:
        raise UsageError("--parallel: is for --file; a single problem has --attempts")


def chosen_out(out: Path | None) -> Path:
    """Return the file for the results of --file; raises `UsageError` when there is none."""
    if out is None:
        raise UsageError("--file: needs --out, the file that takes the results")
    return out


def read_statement(statement: str | None) -> str:
    """Return the problem's statement, from standard input for `-`; raises `UsageError`."""
    if statement is None:
        raise UsageError("no problem: give it in quotes, - for standard input, or --file")
    if statement != "-":
        return statement
    if sys.stdin is None:
        raise UsageError("standard input: closed; give the problem in quotes")
    content = sys.stdin.buffer.read(_MAX_INPUT_BYTES + 1)
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input: must be UTF-8 text: {error}") from error


def chosen_show(*, json: bool, plain: bool, answer_only: bool) -> Show:
    """Return how to show a solve; raises `UsageError` for more than one way."""
    chosen = {"--json": json, "--plain": plain, "--answer-only": answer_only}
    names = [name for name, wanted in chosen.items() if wanted]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)}: choose one")
    if json:
        return Show.JSON
    if answer_only:
        return Show.ANSWER
    return Show.PLAIN if plain else fitting_show(sys.stdout)


def choose_server(
    url: str | None, arguments: Sequence[str], ready_timeout_s: float
) -> ServerChoice:
    """Return which server to use; raises `UsageError`."""
    if url and arguments:
        raise UsageError(
            f"{arguments[0]}: is for a server started for this call, but --url (or QUORUM_URL) "
            "names one that runs; leave one of them out"
        )
    return ServerChoice(checked_url(url) if url else None, arguments, ready_timeout_s)
