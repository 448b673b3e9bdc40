"""How far annotators agree beyond chance: on spans they both tagged, on tokens, on comparisons.

Krippendorff's alpha is 1 where all agree, 0 where they agree as chance would (Krippendorff,
Content Analysis, chapter 11). It takes any number of annotators, of whom not all said something of
everything.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, permutations

from client.schema import COMPARED_TAGS, LabelTag
from training.annotate.reflections import Span

#: Two spans are the same place where they share this part of what they cover together.
LEAST_SHARED = 0.5
#: Values of comparisons, by which better and worse are further apart than either and neutral.
_RANK = {LabelTag.BETTER: 1.0, LabelTag.NEUTRAL: 0.0, LabelTag.WORSE: -1.0}

#: How many times a unit counts, and what annotators said of it.
Unit = tuple[float, Sequence[str]]


def kappa(spans: Sequence[Span], one: str, other: str) -> float | None:
    """Return Cohen's kappa of two annotators over the spans that both tagged; None without any."""
    tags: dict[str, dict[tuple[str, int, int, int, int | None], LabelTag]] = {one: {}, other: {}}
    for span in spans:
        if span.annotator in tags:
            tags[span.annotator][*span.trace, span.begin, span.end, span.alternate] = span.tag
    both = tags[one].keys() & tags[other].keys()
    if not both:
        return None
    count = len(both)
    same = sum(tags[one][each] == tags[other][each] for each in both) / count
    mine, theirs = (Counter(tags[who][each] for each in both) for who in (one, other))
    by_chance = sum(mine[tag] * theirs[tag] for tag in LabelTag) / (count * count)
    return 1.0 if by_chance == 1.0 else (same - by_chance) / (1 - by_chance)


def shared_spans(spans: Sequence[Span], one: str, other: str) -> float | None:
    """Return the share of two annotators' spans that the other has too, tag and place (F1).

    Only traces that both annotated count; None without any.
    """
    theirs = {who: _by_trace(spans, who) for who in (one, other)}
    both = theirs[one].keys() & theirs[other].keys()
    count = sum(len(theirs[who][trace]) for who in (one, other) for trace in both)
    if not count:
        return None
    matched = sum(_matched(theirs[one][trace], theirs[other][trace]) for trace in both)
    return 2 * matched / count


def token_alpha(spans: Sequence[Span]) -> float | None:
    """Return alpha over the tokens of traces that two annotators or more tagged; None without any.

    What an annotator says of a token is its tags, or none.
    """
    traces: dict[tuple[str, int], list[Span]] = defaultdict(list)
    for span in spans:
        if span.tag not in COMPARED_TAGS:
            traces[span.trace].append(span)
    units: list[Unit] = []
    for of_trace in traces.values():
        annotators = sorted({span.annotator for span in of_trace})
        edges = sorted({edge for span in of_trace for edge in (span.begin, span.end)})
        for begin, end in pairwise(edges):
            said = [
                "+".join(
                    sorted(
                        {
                            span.tag.value
                            for span in of_trace
                            if span.annotator == who and span.begin <= begin and end <= span.end
                        }
                    )
                )
                for who in annotators
            ]
            units.append((float(end - begin), said))
    return alpha(units)


def comparison_alpha(spans: Sequence[Span]) -> float | None:
    """Return alpha over the continuations that two annotators or more compared; None without."""
    said: dict[tuple[str, int, int, int | None], dict[str, str]] = defaultdict(dict)
    for span in spans:
        if span.tag in COMPARED_TAGS:
            said[*span.trace, span.begin, span.alternate][span.annotator] = span.tag.value

    def apart(one: str, other: str) -> float:
        return (_RANK[LabelTag(one)] - _RANK[LabelTag(other)]) ** 2

    return alpha(((1.0, list(values.values())) for values in said.values()), apart)


def _differ(one: str, other: str) -> float:
    return float(one != other)


def alpha(units: Iterable[Unit], apart: Callable[[str, str], float] = _differ) -> float | None:
    """Return Krippendorff's alpha of units; None where no unit has two values.

    `apart` is the square of how far two values are from each other; as it stands they are the same
    or not.
    """
    pairs: dict[tuple[str, str], float] = defaultdict(float)
    for weight, values in units:
        for one, other in permutations(range(len(values)), 2):
            share = weight / (len(values) - 1)
            pairs[values[one], values[other]] += share
    return _alpha(pairs, apart)


def _alpha(
    pairs: Mapping[tuple[str, str], float], apart: Callable[[str, str], float]
) -> float | None:
    counts: dict[str, float] = defaultdict(float)
    for (one, _), share in pairs.items():
        counts[one] += share
    whole = sum(counts.values())
    if whole <= 1:
        return None
    observed = sum(share * apart(*pair) for pair, share in pairs.items()) / whole
    expected = sum(
        counts[one] * counts[other] * apart(one, other) for one in counts for other in counts
    ) / (whole * (whole - 1))
    return 1.0 if expected == 0 else 1.0 - observed / expected


def _by_trace(spans: Sequence[Span], who: str) -> dict[tuple[str, int], list[Span]]:
    found: dict[tuple[str, int], list[Span]] = defaultdict(list)
    for span in spans:
        if span.annotator == who and span.tag not in COMPARED_TAGS:
            found[span.trace].append(span)
    return found


def _matched(ones: Sequence[Span], others: Sequence[Span]) -> int:
    """Return how many spans of one kind and place can be paired off, the nearest first."""
    near = sorted(
        ((_shared(one, other), i, j) for i, one in enumerate(ones) for j, other in enumerate(others)
         if one.tag is other.tag),
        reverse=True,
    )  # fmt: skip
    taken_one: set[int] = set()
    taken_other: set[int] = set()
    for shared, i, j in near:
        if shared >= LEAST_SHARED and i not in taken_one and j not in taken_other:
            taken_one.add(i)
            taken_other.add(j)
    return len(taken_one)


def _shared(one: Span, other: Span) -> float:
    whole = max(one.end, other.end) - min(one.begin, other.begin)
    if whole <= 0:  # spans without a token, which are faults of their own, are no place
        return 0.0
    return max(min(one.end, other.end) - max(one.begin, other.begin), 0) / whole
