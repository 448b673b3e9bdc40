"""A corpus from files of traces: read twice, so that no more than a few traces are in memory."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from training.corpus.card import card
from training.corpus.rules import MOST_ENTRIES, Candidate, Rules, choose, reward_of, sketch
from training.corpus.store import (
    CARD,
    ORIGIN,
    PAIRS,
    TABLE,
    CorpusWriter,
    Entry,
    table_writer,
)
from training.errors import BadTraces, EmptyCorpus
from training.files import append_line, whole_folder
from training.provenance import provenance
from training.text import Decoder
from training.traces.read import read_traces
from training.traces.trace import Trace


def build(
    sources: Sequence[Path],
    target: Path,
    rules: Rules,
    *,
    decoder: Decoder | None = None,
    truths: dict[str, str] | None = None,
    excluded: frozenset[str] = frozenset(),
    pairs_per_problem: int = 0,
    lines: bool = False,
) -> dict[str, Any]:
    """Write the corpus folder `target`; return its figures.

    Args:
        sources: files of traces, of `quorum journal export` or other tools.
        target: the folder to write.
        rules: which traces are taken.
        decoder: makes text of ids, for `corpus.csv` and the limit on characters; None: neither.
        truths: right answers by problem, for traces that do not bring theirs.
        excluded: problems that must not be in the corpus, such as those of an evaluation.
        pairs_per_problem: preference pairs of a right and a wrong trace, at most.
        lines: write the token ids as JSON lines as well.

    Raises:
        BadTraces: a source cannot be read.
        EmptyCorpus: no trace fits the rules; the reasons are counted.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    known = truths or {}
    candidates = [_candidate(number, trace, decoder) for number, trace in _all(sources, known)]
    for candidate in candidates:
        candidate.complete &= candidate.key not in excluded
    choose(candidates, rules)
    for candidate in candidates:
        if candidate.key in excluded:
            candidate.reason = "its problem is excluded"
    chosen = [each for each in candidates if each.included]
    _check_size(chosen, candidates)
    pairs = _pairs(candidates, rules, pairs_per_problem)
    settings = {
        "rules": asdict(rules), "pairs_per_problem": pairs_per_problem,
        "excluded": sorted(excluded), "truths": known, "decoder": decoder is not None,
        "lines": lines,
    }  # fmt: skip
    told = provenance("corpus", settings, sources)
    job = {name: told[name] for name in ("settings", "inputs")}
    with whole_folder(target, job) as work:
        told["figures"] = _write(sources, work, candidates, pairs, decoder, known, lines=lines)
        (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        (work / CARD).write_text(card(target.name, told), encoding="utf-8")
    figures: dict[str, Any] = told["figures"]
    return figures


def _all(sources: Iterable[Path], truths: dict[str, str]) -> Iterator[tuple[int, Trace]]:
    number = 0
    for path in sources:
        for trace in read_traces(path):
            if trace.key in truths:
                trace.values["truth"] = truths[trace.key]
            yield number, trace
            number += 1


def _candidate(number: int, trace: Trace, decoder: Decoder | None) -> Candidate:
    own = trace.ids[trace.prompt_tokens :]
    digest = hashlib.sha256(trace.ids[: trace.prompt_tokens].tobytes())
    digest.update(b"/")
    digest.update(own.tobytes())
    return Candidate(
        number=number,
        key=trace.key,
        digest=digest.digest(),
        tokens=len(trace.ids),
        sampled=trace.sampled,
        reward=reward_of(trace),
        tool_calls=int(trace.values.get("tool_calls") or 0),
        tool_errors=int(trace.values.get("tool_errors") or 0),
        complete=bool(trace.values.get("complete", True)),
        sketch=sketch(own),
        characters=None if decoder is None else len(decoder.decode(trace.ids.tolist())),
    )


def _check_size(chosen: list[Candidate], candidates: list[Candidate]) -> None:
    if not chosen:
        reasons = Counter(each.reason for each in candidates)
        told = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common())
        raise EmptyCorpus(
            f"corpus: none of {len(candidates)} traces is taken ({told or 'the files are empty'}); "
            "loosen the rules, or name right answers with --answers"
        )
    if len(chosen) > MOST_ENTRIES:
        raise BadTraces(
            f"corpus: {len(chosen)} entries, must be at most {MOST_ENTRIES}; lower --per-problem"
        )


def _pairs(
    candidates: list[Candidate], rules: Rules, per_problem: int
) -> list[tuple[Candidate, Candidate]]:
    """Return pairs of an included right trace and a wrong one of the same problem."""
    wrong: dict[str, list[Candidate]] = {}
    for each in candidates:
        usable = each.complete and each.sampled and each.reward == 0
        if usable and not each.included and (each.characters or 0) <= rules.most_characters:
            wrong.setdefault(each.key, []).append(each)
    pairs: list[tuple[Candidate, Candidate]] = []
    counts: Counter[str] = Counter()
    for each in candidates:
        others = wrong.get(each.key)
        if each.included and each.reward and others and counts[each.key] < per_problem:
            # the wrong one of nearest length: length must not be what tells them apart
            other = min(others, key=lambda one, own=each: abs(one.sampled - own.sampled))  # type: ignore[misc]
            others.remove(other)
            pairs.append((each, other))
            counts[each.key] += 1
    return pairs


def _write(
    sources: Sequence[Path],
    work: Path,
    candidates: list[Candidate],
    pairs: list[tuple[Candidate, Candidate]],
    decoder: Decoder | None,
    truths: dict[str, str],
    *,
    lines: bool,
) -> dict[str, Any]:
    """Write the files of a corpus; return its figures."""
    for name in (PAIRS, TABLE):
        (work / name).unlink(missing_ok=True)
    rejected = {other.number for _, other in pairs}
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("reason", "problem", "source", "licence", "model", "kind")
    }
    tokens = trained = 0
    table_file = (
        (work / TABLE).open("w", encoding="utf-8", newline="") if decoder else nullcontext(None)
    )
    with closing(CorpusWriter(work, lines=lines)) as writer, table_file as file:
        table = table_writer(file) if file is not None else None
        for number, trace in _all(sources, truths):
            candidate = candidates[number]
            counts["reason"][candidate.reason] += 1
            if table is not None and decoder is not None:
                table.writerow(_table_row(trace, candidate, decoder))
            if not candidate.included and number not in rejected:
                continue
            entry = _entry(trace, candidate)
            writer.add(entry)
            if entry.trained:
                tokens += len(entry.ids)
                trained += int(entry.mask.sum())
                for name in ("source", "licence", "model", "kind"):
                    counts[name][getattr(entry, name) or "not stated"] += 1
                counts["problem"][entry.problem_id] += 1
    for right, wrong in pairs:
        row = {"problem_id": right.key, "chosen": right.number, "rejected": wrong.number}
        append_line(work / PAIRS, row)
    return {
        "traces": len(candidates),
        "entries": sum(each.included for each in candidates),
        "pairs": len(pairs),
        "problems": len(counts["problem"]),
        "tokens": tokens,
        "trained_tokens": trained,
        **{name: dict(counts[name].most_common()) for name in counts if name != "problem"},
    }


def _entry(trace: Trace, candidate: Candidate) -> Entry:
    begin = trace.prompt_tokens
    mask = trace.mask[begin:]
    return Entry(
        number=candidate.number,
        problem_id=candidate.key,
        kind="tir" if candidate.tool_calls or not np.all(mask) else "cot",
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
    )


def _table_row(trace: Trace, candidate: Candidate, decoder: Decoder) -> list[object]:
    begin = trace.prompt_tokens
    prompt = decoder.decode(trace.ids[:begin].tolist())
    completion = decoder.decode(trace.ids[begin:].tolist())
    return [
        candidate.key, trace.text_of("source") or "", prompt, completion,
        len(prompt) + len(completion), candidate.tokens, candidate.reason, candidate.included,
    ]  # fmt: skip
