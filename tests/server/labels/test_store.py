"""Labels in a file that other hands have changed."""

import os
from pathlib import Path

import pytest

from server.labels.store import LabelStore, LabelsUnwritable


@pytest.mark.parametrize("line", ["[]", "7", '{"labels": [{}]}', '{"labels": 7}', "\\xff"])
def test_a_line_that_is_no_label_is_told_in_a_sentence(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(LabelsUnwritable, match="cannot be read as labels"):
        LabelStore(path).find()


def test_a_pipe_in_the_place_of_labels_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    os.mkfifo(path)
    with pytest.raises(LabelsUnwritable, match="must be a regular file"):
        LabelStore(path).find()
