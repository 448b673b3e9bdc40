"""`quorum solve`: one problem, shown as it goes, or a file of them."""

import typer

from client.commands import options
from client.commands.solve_file import BatchPlan, solve_file
from client.commands.solve_problem import solve_problem
from client.commands.wishes import (
    choose_server,
    chosen_out,
    chosen_show,
    read_statement,
    refuse_of_files,
    split_words,
    wish_of,
)
from client.readiness import READY_TIMEOUT_S


def solve(  # noqa: PLR0913 - the command line's options are its parameters
    problem: options.ProblemArgument = None,
    server_arguments: options.ServerArguments = None,
    *,
    url: options.Url = None,
    attempts: options.Attempts = None,
    agree: options.Agree = None,
    turns: options.Turns = None,
    tokens: options.Tokens = None,
    time_limit: options.TimeLimit = None,
    strategy: options.Strategy = None,
    recipe: options.Recipe = None,
    kind: options.Kind = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    json: options.Json = False,
    plain: options.Plain = False,
    answer_only: options.AnswerOnly = False,
    file: options.ProblemFile = None,
    out: options.OutFile = None,
    time: options.Time = None,
    parallel: options.Parallel = 1,
    ready_timeout: options.ReadyTimeout = READY_TIMEOUT_S,
) -> None:
    """Solve a problem, or a file of problems, and show the answer.

    Uses the server at --url, or the one that runs on this machine; where there is none, it starts
    one for this call and stops it. Exit codes: 0 answered, 3 no answer, 1 an error, 2 wrong usage.
    """
    wish = wish_of(
        attempts=attempts,
        agree=agree,
        max_turns=turns,
        max_tokens=tokens,
        time_limit_s=time_limit,
        strategy=strategy,
        recipe=recipe,
        answer_kind=kind,
        seed=seed,
        temperature=temperature,
    )
    statement, arguments = split_words(problem, server_arguments, from_file=file is not None)
    show = chosen_show(json=json, plain=plain, answer_only=answer_only)
    choice = choose_server(url, arguments, ready_timeout)
    if file is None:
        refuse_of_files(time=time, out=out, parallel=parallel)
    if file is not None:
        plan = BatchPlan(show, parallel, time)
        code = solve_file(file, chosen_out(out), wish, choice, plan)
    else:
        code = solve_problem(wish.request(read_statement(statement)), choice, show)
    if code:
        raise typer.Exit(code)
