"""A corpus from files of traces: read twice, so that no more than a few traces are in memory."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from training.corpus.card import card
from training.corpus.continuations import Continuations, read_continuations
from training.corpus.exclusion import Excluded, Exclusion
from training.corpus.problem_names import ProblemNames
from training.corpus.rules import (
    MOST_ENTRIES,
    Candidate,
    Kind,
    Rules,
    choose,
    cut_by,
    is_open,
    reward_of,
    unfit,
)
from training.corpus.sketches import sketch
from training.corpus.store import (
    CARD,
    FILES,
    ORIGIN,
    PAIRS,
    TABLE,
    CorpusWriter,
    Entry,
    table_writer,
)
from training.errors import BadTraces, EmptyCorpus
from training.files import sha256, whole_folder
from training.problems.alike import clusters
from training.provenance import provenance
from training.text import Decoder
from training.traces.answers import Answers, traces_with
from training.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Compared:
    """Files of alternates, and of what annotators said of them."""

    alternates: Sequence[Path] = ()
    reflections: Sequence[Path] = ()


def build(  # noqa: PLR0913 - its options
    sources: Sequence[Path],
    target: Path,
    rules: Rules,
    *,
    decoder: Decoder | None = None,
    answers: Answers | None = None,
    excluded: Excluded | None = None,
    pairs_per_problem: int = 0,
    lines: bool = False,
    compared: Compared | None = None,
) -> dict[str, Any]:
    """Write the corpus folder `target`; return its figures.

    Args:
        sources: files of traces, of `quorum journal export` or other tools.
        target: the folder to write.
        rules: which traces are taken.
        decoder: makes text of ids, for `corpus.csv` and the limit on characters; None: neither.
        answers: right answers, for traces that do not bring theirs.
        excluded: problems that must not be in the corpus, such as those of an evaluation; the
            figures then say which of them no trace is of.
        pairs_per_problem: preference pairs of a right and a wrong trace, at most.
        lines: write the token ids as JSON lines as well.
        compared: alternates, and what annotators said of them.

    Raises:
        BadTraces: a source cannot be read.
        EmptyCorpus: no trace fits the rules; the reasons are counted.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    known, compared = answers or Answers(), compared or Compared()
    excluded, names = excluded or Excluded(), ProblemNames()
    more = read_continuations(
        compared.alternates, compared.reflections, rules, excluded=excluded.ids
    )
    exclusion, kept_out = Exclusion(excluded, decoder), set[int]()
    candidates = []
    statements: dict[str, str] = {}
    for number, trace in _all(sources, known):
        candidates.append(_candidate(number, trace, decoder, rules))
        names.see(trace)
        if rules.per_cluster is not None and candidates[-1].kind is not Kind.GENSELECT:
            statements[trace.key] = statements.get(trace.key) or trace.text_of("problem") or ""
        if exclusion.has(trace):
            kept_out.add(number)
        elif candidates[-1].complete and rules.wants(Kind.PREFERRED):
            more.see(trace, decoder, rules)
        candidates[-1].complete &= number not in kept_out
    more.settle(len(candidates))
    names.settle()
    for candidate in candidates:
        candidate.key = names.of(candidate.key)
    choose(candidates, rules, clusters(statements))
    for candidate in candidates:
        if candidate.number in kept_out:
            candidate.reason = "its problem is excluded"
    chosen = [each for each in candidates if each.included]
    _check_size(len(chosen), more, candidates)
    pairs = _pairs(candidates, rules, pairs_per_problem)
    settings = {
        "rules": asdict(rules), "pairs_per_problem": pairs_per_problem,
        "excluded": sorted(excluded.ids), "truths": known.by_id, "decoder": decoder is not None,
        "lines": lines,
    }  # fmt: skip
    told = provenance("corpus", settings, [*sources, *compared.alternates, *compared.reflections])
    job = {name: told[name] for name in ("settings", "inputs")}
    with whole_folder(target, job) as work:
        job_of = _Job(sources, known, candidates, pairs, more, names, decoder, lines)
        told["figures"] = _write(job_of, work)
        if excluded.ids:
            absent = {"excluded_absent": exclusion.missing(), "nameless": exclusion.nameless}
            told["figures"] |= absent
        written = [name for name in FILES if (work / name).is_file()]
        told["files"] = {name: sha256(work / name) for name in written}
        (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        (work / CARD).write_text(card(target.name, told), encoding="utf-8")
    figures: dict[str, Any] = told["figures"]
    return figures


def _all(sources: Sequence[Path], answers: Answers) -> Iterator[tuple[int, Trace]]:
    return enumerate(traces_with(sources, answers))


def _candidate(number: int, trace: Trace, decoder: Decoder | None, rules: Rules) -> Candidate:
    own = trace.ids[trace.prompt_tokens :]
    digest = hashlib.sha256(trace.ids[: trace.prompt_tokens].tobytes())
    prompt = digest.digest()
    digest.update(b"/")
    digest.update(own.tobytes())
    return Candidate(
        number=number,
        key=trace.key,
        kind=_kind(trace),
        prompt=prompt,
        digest=digest.digest(),
        tokens=len(trace.ids),
        sampled=trace.sampled,
        reward=reward_of(trace),
        tool_calls=int(trace.values.get("tool_calls") or 0),
        tool_errors=int(trace.values.get("tool_errors") or 0),
        complete=bool(trace.values.get("complete", True)),
        cut=cut_by(trace),
        is_open=is_open(trace),
        sketch=sketch(own if rules.judge_novelty else own[:0]),
        characters=None if decoder is None else len(decoder.decode(trace.ids.tolist())),
    )


def _kind(trace: Trace) -> Kind:
    if trace.text_of("kind") == Kind.GENSELECT:
        return Kind.GENSELECT
    calls = trace.values.get("tool_calls")
    if calls is None:  # a forced answer's opening is appended too: the mask is the second choice
        return Kind.COT if np.all(trace.mask[trace.prompt_tokens :]) else Kind.TIR
    return Kind.TIR if calls else Kind.COT


def _check_size(chosen: int, more: Continuations, candidates: list[Candidate]) -> None:
    entries = chosen + more.preferred
    if not entries:
        reasons = Counter(each.reason for each in candidates) + more.reasons
        told = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common())
        raise EmptyCorpus(
            f"corpus: none of {len(candidates)} traces is taken ({told or 'the files are empty'}); "
            "loosen the rules, or name right answers with --answers"
        )
    if entries > MOST_ENTRIES:
        raise BadTraces(
            f"corpus: {entries} entries, must be at most {MOST_ENTRIES}; lower --per-problem"
        )


def _pairs(
    candidates: list[Candidate], rules: Rules, per_problem: int
) -> list[tuple[Candidate, Candidate]]:
    """Return pairs of an included right trace and a wrong one after the same prompt."""
    of_any_reward = replace(rules, least_reward=0.0)
    wrong: dict[tuple[str, bytes], list[Candidate]] = {}
    for each in candidates:
        if each.reward == 0 and not each.included and not unfit(each, of_any_reward):
            wrong.setdefault((each.key, each.prompt), []).append(each)
    pairs: list[tuple[Candidate, Candidate]] = []
    counts: Counter[tuple[str, bool]] = Counter()
    for each in candidates:
        others = wrong.get((each.key, each.prompt))
        group = (each.key, each.kind is Kind.GENSELECT)
        if each.included and each.reward and others and counts[group] < per_problem:
            # the wrong one of nearest length: length must not be what tells them apart
            other = min(others, key=lambda one, own=each: abs(one.sampled - own.sampled))  # type: ignore[misc]
            others.remove(other)
            pairs.append((each, other))
            counts[group] += 1
    return pairs


@dataclass(frozen=True, slots=True)
class _Job:
    """What is written."""

    sources: Sequence[Path]
    answers: Answers
    candidates: list[Candidate]
    pairs: list[tuple[Candidate, Candidate]]
    more: Continuations
    names: ProblemNames
    decoder: Decoder | None
    lines: bool


class _Counts:
    """What a corpus is of, counted as it is written."""

    def __init__(self) -> None:
        self.entries = self.tokens = self.trained = 0
        self.by: dict[str, Counter[str]] = {
            name: Counter() for name in ("reason", "problem", "source", "licence", "model", "kind")
        }

    def take(self, entry: Entry) -> None:
        """Count an entry that is trained on."""
        if not entry.trained:
            return
        self.entries += 1
        self.tokens += len(entry.ids)
        self.trained += int(entry.mask.sum())
        for name in ("source", "licence", "model", "kind"):
            self.by[name][getattr(entry, name) or "not stated"] += 1
        self.by["problem"][entry.problem_id] += 1


def _write(job: _Job, work: Path) -> dict[str, Any]:
    """Write the files of a corpus; return its figures."""
    for name in (PAIRS, TABLE):
        (work / name).unlink(missing_ok=True)
    rejected = {other.number for _, other in job.pairs}
    counts = _Counts()
    decoder = job.decoder
    table_file = (
        (work / TABLE).open("w", encoding="utf-8", newline="") if decoder else nullcontext(None)
    )
    with closing(CorpusWriter(work, lines=job.lines)) as writer, table_file as file:
        table = table_writer(file) if file is not None else None
        for number, trace in _all(job.sources, job.answers):
            candidate = job.candidates[number]
            counts.by["reason"][candidate.reason] += 1
            entry = _entry(trace, candidate)
            if candidate.included or number in rejected:
                writer.add(entry)
                counts.take(entry)
            rows = [(entry, candidate.reason)]
            for made, choice in job.more.of(trace):
                continuation = replace(made, problem_id=candidate.key)
                writer.add(continuation)
                counts.take(continuation)
                rows.append((continuation, choice.reason))
            if table is not None and decoder is not None:
                table.writerows(_table_row(each, reason, decoder) for each, reason in rows)
    counts.by["reason"] += job.more.reasons
    pairs = [
        *((right.key, right.number, wrong.number) for right, wrong in job.pairs),
        *(
            (job.names.of(one.position.problem_id), one.number, two.number)
            for one, two in job.more.pairs
        ),
    ]
    if pairs:
        names = ("problem_id", "chosen", "rejected")
        lines = (dict(zip(names, pair, strict=True)) for pair in pairs)
        content = (orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        (work / PAIRS).write_bytes(b"".join(content))
    return {
        "traces": len(job.candidates),
        "entries": counts.entries,
        "pairs": len(pairs),
        "problems": len(counts.by["problem"]),
        "tokens": counts.tokens,
        "trained_tokens": counts.trained,
        **{name: dict(of.most_common()) for name, of in counts.by.items() if name != "problem"},
    }


def _entry(trace: Trace, candidate: Candidate) -> Entry:
    begin = trace.prompt_tokens
    mask = trace.mask[begin:]
    return Entry(
        number=candidate.number,
        problem_id=candidate.key,
        kind=candidate.kind.value,
        prompt=trace.ids[:begin],
        ids=trace.ids[begin:],
        mask=mask,
        trained=candidate.included,
        source=trace.text_of("source"),
        licence=trace.text_of("licence"),
        model=trace.text_of("model"),
        solve_id=trace.text_of("solve_id"),
        attempt=trace.values.get("attempt"),
        reward=candidate.reward,
        overlap=candidate.overlap,
    )


def _table_row(entry: Entry, reason: str, decoder: Decoder) -> list[object]:
    prompt = decoder.decode(entry.prompt.tolist())
    completion = decoder.decode(entry.ids.tolist())
    return [
        entry.problem_id, entry.source or "", prompt, completion, len(prompt) + len(completion),
        len(entry.prompt) + len(entry.ids), reason, entry.trained,
    ]  # fmt: skip
