"""Programs of families that cheat, hang or change their minds, in a real sandbox."""

from pathlib import Path

import pytest

from tests.training.test_problems import FAMILY
from training import errors
from training.problems import commands
from training.problems.read import read_problems

SOLVER = "return pow(a, n, 1000)"
_, CHECK, AFTER = FAMILY.partition("check = '''\n")
WITHOUT_CHECK = FAMILY.partition("check = ")[0] + AFTER.partition("'''\n")[2]


def vary(folder: Path, url: str, text: str, count: int = 4) -> list[str | None]:
    (folder / "family.toml").write_text(text)
    target = folder / "variants.jsonl"
    commands.vary_command([folder / "family.toml"], target=target, count=count, url=url)
    return [each.answer for each in read_problems(target)]


def test_a_check_cannot_lean_on_what_the_solver_left(url: str, tmp_path: Path) -> None:
    named_otherwise = FAMILY.replace("def solve(a, n):\n    result", "def check(a, n):\n    result")
    with pytest.raises(errors.BadTraces, match=r"(?s)KeyError.*solve"):
        vary(tmp_path, url, named_otherwise)
    helped = FAMILY.replace("return pow(a, n, 1000)", "return helper(a, n)").replace(
        "solver = '''\n", "solver = '''\nhelper = lambda a, n: pow(a, n, 1000)\n"
    )
    assert len(vary(tmp_path, url, helped)) == 4
    leaning = helped.replace("    result = 1\n", "    return helper(a, n)\n")
    with pytest.raises(errors.BadTraces, match=r"(?s)NameError.*helper"):
        vary(tmp_path, url, leaning)


@pytest.mark.parametrize(
    "cheat",
    [
        "import random; return random.randrange(10**4)",
        "import os; return int.from_bytes(os.urandom(1), 'big')",
        "import time; return time.time_ns() % 10**4",
        "global seen; seen = globals().get('seen', os.getpid() % 100) + 1; return seen",
    ],
)
def test_a_solver_that_changes_its_mind_makes_no_variants(
    cheat: str, url: str, tmp_path: Path
) -> None:
    lines = "\n    ".join(part.strip() for part in cheat.split(";"))
    text = WITHOUT_CHECK.replace("def solve", "import os\ndef solve").replace(SOLVER, lines)
    with pytest.raises(errors.BadTraces, match="gives another one each time"):
        vary(tmp_path, url, text)


def test_without_a_check_the_solver_is_asked_twice(url: str, tmp_path: Path) -> None:
    assert len(vary(tmp_path, url, WITHOUT_CHECK)) == 4


@pytest.mark.parametrize("end", ["while True: pass", "import os; os._exit(0)"])
def test_programs_that_hang_or_die_give_a_family_up(
    end: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PROGRAM_S", 1.0)
    text = WITHOUT_CHECK.partition("[original]")[0].replace(SOLVER, end)
    with pytest.raises(errors.BadTraces, match="failed 3 times in a row"):
        vary(tmp_path, url, text)
    assert not (tmp_path / "variants.jsonl").exists()
    # a hang here and there leaves out that variant alone
    some = WITHOUT_CHECK.replace(SOLVER, f"if a == 3:\n        {end}\n    {SOLVER}")
    assert len(vary(tmp_path, url, some, 2)) == 2
