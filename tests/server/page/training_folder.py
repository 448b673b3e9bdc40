"""A folder as `quorum train` leaves it: problems, corpus, token masks, samples."""

import csv
import json
from pathlib import Path

from tests.server.page.hostile import HOSTILE

CORPUS = (
    "problem_id", "problem_source", "prompt", "completion", "character_count", "token_count",
    "annotation_reason", "included",
)  # fmt: skip


def write_training(folder: Path) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "problems.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "problem", "answer", "solve_rate", "failures"])
        rows.writerow(["p1", "What is $6 \\cdot 7$?", "42", "0.75", "1 out of time"])
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(CORPUS)
        for number in range(45):
            text = f'entry {number},\nof two lines with a "quote"'
            rows.writerow([f"p{number}", "made up", text, HOSTILE, 9, 3, "right", number % 2 == 0])
    tokens = {"problem_id": "p1", "token_ids": [70, 71, 72], "mask": [0, 1, 1]}
    (folder / "corpus.jsonl").write_text(json.dumps(tokens) + "\n", encoding="utf-8")
    sample = {
        "problem": "What is 6?", "truth": "6", "responses": [HOSTILE, "none"],
        "rewards": [1.1, -0.5], "advantages": [0.8, -0.8], "answers": ["6", None],
    }  # fmt: skip
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    (folder / "broken.jsonl").write_text("{not json\n", encoding="utf-8")
    (folder / "answers.csv").write_text("id,answer\nname of solve-a,42\n", encoding="utf-8")
    (folder.parent / "secret.csv").write_text("id,problem,answer\n1,2,3\n", encoding="utf-8")
    for number, name in enumerate(("late", "first")):
        position = {
            "problem_id": f"p-{name}", "problem": "What is $6$?" + HOSTILE, "truth": "6",
            "solve_id": "solve-alternates", "attempt": number, "begin": 5, "end": 8,
            "before": HOSTILE, "own": "So it is 6.\n\n", "priority": 0.2 + number / 2,
            "named": False, "temperature": 0.8,
            "alternates": [
                {"alternate": 0, "ids": [70, 71], "text": HOSTILE, "end": "boundary", "seed": 1},
                {"alternate": 1, "ids": [72], "text": "No.\n\n", "end": "boundary", "seed": 2},
            ],
        }  # fmt: skip
        with (folder / "alternates.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(position) + "\n")
    entry = {"entry": 3, "prompt": 0, "runs": [1, 2, 1], "ids": [70, 71, 72, 73]}
    (folder / "tokens.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")
    long = {"entry": 4, "prompt": 0, "runs": [5_000, 1_000], "ids": [70] * 6_000}
    (folder / "long.jsonl").write_text(json.dumps(long) + "\n", encoding="utf-8")
