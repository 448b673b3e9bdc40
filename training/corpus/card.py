"""A corpus's data card: where it comes from, under which licences, and how much of what it is."""

from typing import Any

_MASKS = (
    "Attempts at mathematical problems as token ids with masks: 1 where a model sampled the id and "
    "training learns from it, 0 for prompts and for the results of code. Nothing was tokenised "
    "again."
)


def card(name: str, told: dict[str, Any]) -> str:
    """Return the card as Markdown; `told` is what `corpus.json` holds."""
    figures = told["figures"]
    parts = [
        f"# {name}",
        _MASKS,
        "## Counts",
        _table(
            ("What", "Count"),
            [
                ("traces read", figures["traces"]),
                ("entries", figures["entries"]),
                ("preference pairs", figures["pairs"]),
                ("problems", figures["problems"]),
                ("tokens of completions", figures["tokens"]),
                ("tokens that are trained", figures["trained_tokens"]),
            ],
        ),
    ]
    headings = {
        "kind": "Kinds", "source": "Sources of the problems", "licence": "Licences of the problems",
        "model": "Models that wrote the completions", "reason": "Why traces are in or out",
    }  # fmt: skip
    for key, heading in headings.items():
        parts += [f"## {heading}", _table((heading, "Count"), list(figures[key].items()))]
    rules = told["settings"]["rules"]
    parts += ["## Rules", _table(("Rule", "Value"), list(rules.items()))]
    files = [(each["name"], each["sha256"]) for each in told["inputs"]]
    parts += ["## Made from", _table(("File", "SHA-256"), files)]
    parts += [f"Made {told['made']} with " + _versions(told["versions"]) + "."]
    return "\n\n".join(parts) + "\n"


def _table(heading: tuple[str, str], rows: list[tuple[str, Any]]) -> str:
    lines = [f"| {heading[0]} | {heading[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)])


def _cell(value: object) -> str:
    return str(value).replace("|", r"\|").replace("\n", " ")


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
