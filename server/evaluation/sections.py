"""The sections of a report: each a table or two, perhaps a picture, and the figures as data."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np

from server.evaluation import measures
from server.evaluation.comparing import live_rates
from server.evaluation.scored import ScoredArm, ScoredAttempt, ScoredProblem
from server.evaluation.section import Section, difference, finite, interval, number, share
from server.evaluation.statistics.rates import rate, widened
from server.evaluation.strategies import sizes
from server.evaluation.svg import Line, forest, lines
from server.replay.tables import TextTable
from voting.replay.evaluate import Evaluation, Measure
from voting.replay.statistics import Estimate, compare


def summary_section(arms: Sequence[ScoredArm], seed: int) -> Section:
    """Return what each arm came to, and how its attempts ended."""
    rows, data = [], {}
    for arm in arms:
        whole = arm.merged()
        single = rate(measures.single_rates(whole), seed=seed)
        told = live_rates(whole)
        live = None if np.isnan(told).all() else rate(told, seed=seed)
        lives = [problem.live for problem in arm.problems if problem.live is not None]
        right = sum(one.right for one in lives)
        rows.append(
            (
                arm.name, str(len(whole.problems)), str(arm.attempts), share(single),
                "-" if live is None else share(live),
                "-" if live is None else f"{right} of {len(lives)}",
            )
        )  # fmt: skip
        data[arm.name] = {
            "model": arm.model, "problems": len(whole.problems), "attempts": arm.attempts,
            "single": interval(single), "answer": interval(live), "right": right,
            "ends": dict(arm.ends().most_common()), "absent": arm.absent,
        }  # fmt: skip
    kinds = sorted({end for arm in arms for end in arm.ends()})
    ends = [(arm.name, *(str(arm.ends()[kind]) for kind in kinds)) for arm in arms]
    return Section(
        name="summary",
        title="What it came to",
        text="Intervals are 95 %, bootstrapped over problems. An attempt without an answer, or "
        "with one that does not parse, is never right.",
        tables=(
            TextTable(
                "arms",
                ("arm", "problems", "attempts", "single attempt", "server's answer", "right"),
                tuple(rows),
            ),
            TextTable("how attempts ended", ("arm", *kinds), tuple(ends)),
        ),
        data=data,
    )


def strategies_section(arm: ScoredArm, evaluation: Evaluation, machine: str, seed: int) -> Section:
    """Return every strategy on the same attempts; the first is the plain majority of all."""
    single = rate(measures.single_rates(arm), seed=seed)
    oracle = widened(evaluation.estimate(0, Measure.ORACLE, seed), len(arm.problems))
    rows = [("single attempt", share(single), "", "", "", "")]
    picture: list[tuple[str, Estimate]] = [("single attempt", single)]
    data: dict[str, Any] = {"single attempt": {"accuracy": interval(single)}}
    for place, combination in enumerate(evaluation.combinations):
        accuracy = widened(evaluation.estimate(place, Measure.ACCURACY, seed), len(arm.problems))
        gain = evaluation.compare(place, 0, Measure.ACCURACY, seed).difference
        tokens, seconds, launched = (
            float(evaluation.by_problem(place, measure).mean())
            for measure in (Measure.TOKENS, Measure.SECONDS, Measure.LAUNCHED)
        )
        rows.append(
            (
                combination.name, share(accuracy), "" if place == 0 else difference(gain),
                f"{tokens:,.0f}", f"{seconds:,.0f}", f"{launched:.1f}",
            )
        )  # fmt: skip
        picture.append((combination.name, accuracy))
        data[combination.name] = {
            "accuracy": interval(accuracy), "gain": interval(gain), "tokens": tokens,
            "seconds": seconds, "attempts": launched,
        }  # fmt: skip
    for name, (accuracy, gain, problems) in _chosen(arm, evaluation, seed).items():
        rows.append((name, share(accuracy), difference(gain), "", "", ""))
        picture.append((name, accuracy))
        data[name] = {
            "accuracy": interval(accuracy), "gain": interval(gain), "problems": problems,
        }  # fmt: skip
    rows.append(("oracle", share(oracle), "", "", "", ""))
    picture.append(("oracle", oracle))
    data["oracle"] = {"accuracy": interval(oracle)}
    caption = f"{arm.name}: accuracy of each strategy with its 95 % interval by problem"
    return Section(
        name=f"strategies {arm.name}",
        title=f"Strategies on the attempts of {arm.name}",
        text=f"Replayed on the same recorded attempts; tokens and seconds are of one problem, the "
        f"seconds on {machine}. Those that ask a model are arms of their own.",
        tables=(
            TextTable(
                f"{len(arm.problems)} problems, {evaluation.rounds} orders of attempts",
                ("strategy", "accuracy", "against the majority", "tokens", "seconds", "attempts"),
                tuple(rows),
            ),
        ),
        pictures=(forest(picture, caption),),
        data=data,
    )


def _chosen(
    arm: ScoredArm, evaluation: Evaluation, seed: int
) -> dict[str, tuple[Estimate, Estimate, int]]:
    """Return by selector that the server ran: accuracy, gain on the majority, of how many."""
    majority = evaluation.by_problem(0, Measure.ACCURACY)
    found = {}
    solves = [solve for problem in arm.problems for solve in problem.copies or (problem,)]
    for selector in sorted({name for solve in solves for name in solve.chosen}):
        right = arm.by_problem(partial(_chosen_rate, selector))
        known = ~np.isnan(right)
        gain = compare(right[known], majority[known], seed=seed).difference
        name = f"{selector}, by the server ({known.sum()} problems)"
        found[name] = (rate(right, seed=seed), gain, int(known.sum()))
    return found


def _chosen_rate(selector: str, problem: ScoredProblem) -> float:
    return problem.chosen_rate(selector)


def at_k_section(arm: ScoredArm, attempts: int, seed: int) -> Section:
    """Return pass@k and maj@k."""
    found = [one for k in sizes(attempts) if (one := measures.at_k(arm, k, seed)) is not None]
    rows = [(str(o.k), share(o.passed), share(o.majority), str(o.problems)) for o in found]
    series = (
        Line("pass@k", [(float(one.k), one.passed) for one in found]),
        Line("maj@k", [(float(one.k), one.majority) for one in found]),
    )
    return Section(
        name=f"at k {arm.name}",
        title=f"More attempts, {arm.name}",
        text="Both are unbiased over all subsets of k recorded attempts; equal votes share the "
        "credit.",
        tables=(TextTable("by attempts", ("k", "pass@k", "maj@k", "problems"), tuple(rows)),),
        pictures=(lines(series, f"{arm.name}: pass@k and maj@k", "attempts k"),),
        data=[
            {
                "k": o.k, "pass": interval(o.passed), "majority": interval(o.majority),
                "problems": o.problems,
            }
            for o in found
        ],
    )  # fmt: skip


def groups_section(arm: ScoredArm, seed: int) -> list[Section]:
    """Return accuracy by level, by subject and by length, as far as there are several."""
    kinds: dict[str, Callable[[ScoredProblem], str | None]] = {
        "level": lambda p: p.level,
        "subject": lambda p: p.subject,
        "length": measures.length_label(arm),
    }
    sections = []
    for kind, label in kinds.items():
        found = measures.groups(arm, label, seed)
        if not found:
            continue
        rows = [
            (g.name, str(g.problems), share(g.single), share(g.majority), f"{g.tokens:,.0f}")
            for g in found
        ]
        columns = (kind, "problems", "single attempt", "majority", "tokens an attempt")
        sections.append(
            Section(
                name=f"by {kind} {arm.name}",
                title=f"By {kind}, {arm.name}",
                tables=(TextTable(f"by {kind}", columns, tuple(rows)),),
                data={
                    g.name: {
                        "problems": g.problems, "single": interval(g.single),
                        "majority": interval(g.majority), "tokens": g.tokens,
                    }
                    for g in found
                },
            )
        )  # fmt: skip
    return sections


def lengths_section(arm: ScoredArm) -> Section:
    """Return the lengths of right against wrong attempts."""
    found = measures.lengths(arm)
    ratio = (
        "-"
        if found.ratio is None
        else f"{found.ratio.mean:.2f} ({found.ratio.low:.2f} to {found.ratio.high:.2f})"
    )
    rows = [
        ("within problems that have both", ratio, str(found.problems)),
        ("pooled, which problems confound", number(found.pooled, 2), str(len(arm.problems))),
    ]
    return Section(
        name=f"lengths {arm.name}",
        title=f"Length of right against wrong attempts, {arm.name}",
        tables=(
            TextTable("tokens, right over wrong", ("", "ratio", "problems"), tuple(rows)),
        ),
        data={
            "ratio": interval(found.ratio), "pooled": finite(found.pooled),
            "problems": found.problems,
        },
    )  # fmt: skip


def errors_section(arm: ScoredArm, seed: int) -> Section:
    """Return how far errors go together."""
    found = measures.errors_together(arm, seed)
    collision = "-" if found.collision is None else share(found.collision)
    rows = [
        ("intraclass correlation of being right (difficulty)", number(found.intraclass, 3)),
        ("two wrong attempts of a problem agree", collision),
        ("as if wrong answers were so many", number(found.effective, 1)),
        ("problems with two or more wrong answers", str(found.colliding)),
    ]
    return Section(
        name=f"errors {arm.name}",
        title=f"Errors that go together, {arm.name}",
        text="Votes are lost to wrong answers that agree. Given the problem, attempts are "
        "independent draws; what differs between problems is difficulty.",
        tables=(TextTable("errors", ("", "value"), tuple(rows)),),
        data={
            "intraclass": finite(found.intraclass), "collision": interval(found.collision),
            "effective": finite(found.effective), "problems": found.colliding,
        },
    )  # fmt: skip


def calibration_section(arm: ScoredArm, seed: int) -> Section:
    """Return how well the vote's share and the attempts' signals foretell what is right."""
    vote = measures.vote_calibration(arm)
    bins = [(f"{one.confidence:.2f}", f"{one.accuracy:.2f}", str(one.count)) for one in vote.bins]
    told = measures.signals(arm, seed)
    signals = [
        (name, f"{one.mean:.2f} ({one.low:.2f} to {one.high:.2f})", str(problems))
        for name, (one, problems) in told.items()
    ]
    points = [
        (one.confidence, Estimate(one.accuracy, one.accuracy, one.accuracy)) for one in vote.bins
    ]
    caption = f"{arm.name}: the leader's share of attempts, and how often it is right"
    return Section(
        name=f"calibration {arm.name}",
        title=f"Calibration, {arm.name}",
        text=f"Expected calibration error {vote.error:.3f}, Brier score {vote.brier:.3f}, AUC "
        f"{number(vote.auc, 3)}. Signals are rated within problems, where only attempts differ.",
        tables=(
            TextTable("vote share", ("share", "right", "problems"), tuple(bins)),
            TextTable("signals of attempts", ("signal", "AUC", "problems"), tuple(signals)),
        ),
        pictures=(lines((Line("answers", points),), caption, "share of votes", diagonal=True),),
        data={
            "error": vote.error, "brier": vote.brier, "auc": finite(vote.auc),
            "signals": {name: interval(one) for name, (one, _) in told.items()},
        },
    )  # fmt: skip


def cost_section(arm: ScoredArm) -> Section:
    """Return what the arm took."""
    found = measures.cost(arm)
    amounts = {
        "tokens": float(found.tokens), "tool calls": float(found.tool_calls),
        "GPU seconds": found.seconds,
    }  # fmt: skip
    rows = [
        (name, number(amount, 0), number(found.per_solved(amount), 0))
        for name, amount in amounts.items()
    ]
    middle, late = (number(each, 1) for each in found.answer_s)
    return Section(
        name=f"cost {arm.name}",
        title=f"Cost, {arm.name}",
        text=f"Time to an answer: median {middle} s, 90th percentile {late} s. GPU seconds are the "
        "seconds of solves: divide where several shared the machine.",
        tables=(TextTable("cost", ("", "in all", "for each solved problem"), tuple(rows)),),
        data={
            **{name: finite(amount) for name, amount in amounts.items()},
            "solved": found.solved, "answer_s": [finite(each) for each in found.answer_s],
        },
    )  # fmt: skip


def problems_section(arms: Sequence[ScoredArm], page: str | None) -> Section:
    """Return every problem with its attempts, linked to where solve and attempts can be read."""
    rows, links, marked = [], {}, {}
    for arm in arms:
        for problem in arm.problems:
            marks = "".join(
                "+" if a.right else "-" if a.record.answer is None else "x"
                for a in problem.attempts
            )
            name = f"{arm.name}: {problem.id}"
            if page is not None:
                addresses = [_address(page, attempt) for attempt in problem.attempts]
                marked[name] = addresses
                links[name] = next((a.partition("/attempts/")[0] for a in addresses if a), "")
            live = problem.live
            answer = "-" if live is None or live.answer is None else live.answer[:40]
            verdict = "-" if live is None else "right" if live.right else "wrong"
            rows.append((name, marks, answer, verdict))
    return Section(
        name="problems",
        title="Problems",
        text="Attempts by seed: + right, x wrong, - no answer.",
        tables=(
            TextTable("problems", ("problem", "attempts", "server's answer", ""), tuple(rows)),
        ),
        links=links,
        marked=marked,
    )


def _address(page: str, attempt: ScoredAttempt) -> str:
    if not attempt.solve_id:
        return ""
    solve = quote(attempt.solve_id, safe="")
    return f"{page.rstrip('/')}/solves/{solve}/attempts/{attempt.number}"
