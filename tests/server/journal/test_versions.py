"""What a solve's record says of what worked on it: nothing of where things are."""

from pathlib import Path
from typing import Any

import pytest

from server.journal.versions import versions_of, without_folders
from server.settings import load_settings


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("auto", "auto"),
        ("/home/someone/models/gpt-oss-120b", "gpt-oss-120b"),
        ("~/models/gpt-oss-120b/", "gpt-oss-120b"),
        ("relative/python3", "python3"),
        (
            "--chat-template /home/someone/t.jinja --tp-size=2",
            "--chat-template t.jinja --tp-size=2",
        ),
        ("--lora-paths=a=/x/y/one,/x/z/two", "--lora-paths=a=one,two"),
        ("C:\\models\\a.gguf", "C:a.gguf"),
        ("", ""),
    ],
)
def test_paths_lose_their_folders(text: str, left: str) -> None:
    assert without_folders(text) == left


def test_no_setting_tells_a_path_or_a_key(tmp_path: Path) -> None:
    secret = "quite-secret-folder"
    hidden = f"/{secret}/within"
    settings = load_settings(
        {
            "engine.kind": "sglang",
            "engine.model": f"{hidden}/model",
            "engine.urls": "http://user:quite-secret-folder@engine:30000",
            "engine.api_key": secret,
            "engine.api_key_file": f"{hidden}/key",
            "engine.python": f"{hidden}/python",
            "engine.log": f"{hidden}/engine.log",
            "engine.arguments": f"--chat-template {hidden}/t.jinja",
            "rehearsal.machine": f"{hidden}/machine.toml",
            "rehearsal.problems": f"{hidden}/problems.jsonl",
        }
    )
    told: Any = versions_of(settings, tmp_path).settings
    assert secret not in str(told)
    assert told["engine"]["urls"] == "http://engine:30000"
    assert told["rehearsal"]["machine"] == "machine.toml"
