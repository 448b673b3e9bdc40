"""Golden conversations: whole attempts with what is read and written, control tokens by name.

    python -m tests.server.dialect.conversations     write the files anew from what the code does

Review what that changes: the files were read against each family's published format.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from server.dialect.base import DialectOptions, Effort, Prompt
from tests.contract.dialects import family, read

FOLDER = Path(__file__).resolve().parent / "golden"


def options_of(story: dict[str, Any]) -> DialectOptions:
    """Return the options that a conversation is opened with."""
    given = dict(story.get("options", {}))
    if "effort" in given:
        given["effort"] = Effort(given["effort"])
    return DialectOptions(**given)


def tell(story: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[list[int], str]]]:
    """Play a conversation; return it as it went, and all ids written with how they read."""
    teller = family(story["family"], options_of(story))
    conversation = teller.dialect.open(Prompt(**story["prompt"]))
    written = [(list(conversation.opening), teller.vocabulary.decode(conversation.opening))]
    steps: list[dict[str, Any]] = []
    for step in story["steps"]:
        told = dict(step)
        if "sampled" in step:
            told["read"] = _without_empty(asdict(read(conversation, teller.ids(step["sampled"]))))
        else:
            output = step.get("result")
            ids = conversation.force_answer() if output is None else conversation.result(output)
            written.append((ids, teller.vocabulary.decode(ids)))
            told["appended"] = written[-1][1]
        steps.append(told)
    whole = {**story, "opening": written[0][1], "steps": steps, "answer": conversation.answer_text}
    return orjson.loads(orjson.dumps(whole)), written


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def main() -> None:
    """Write every file anew."""
    for path in sorted(FOLDER.glob("*.json")):
        whole, _ = tell(orjson.loads(path.read_bytes()))
        path.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
