"""The `quorum` command as a whole: its commands, its errors, its exit codes."""

import io
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from client import registry
from client.main import main
from client.registry import GROUP, extra_of, summary

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = "tests.client.plugins"


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


ENTRIES = [
    entry("broken", f"{PLUGINS}.broken:command"),
    entry("fail", f"{PLUGINS}.commands:fail"),
    entry("gone", f"{PLUGINS}.commands:gone"),
    entry("greet", f"{PLUGINS}.commands:greet"),
    entry("group", f"{PLUGINS}.commands:app"),
    entry("nowhere", "tests.client.nowhere:command"),
    entry("partial", "client.nowhere:command"),
]


def quorum(*arguments: str) -> int:
    return main(arguments, ENTRIES)


def test_help_lists_every_command_without_importing_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sys.modules.pop(f"{PLUGINS}.commands", None)
    assert quorum("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "greet Say hello to somebody." in shown
    assert "group Commands that exist only for the tests" in shown
    assert "broken A command whose module needs what is not there." in shown
    assert f"{PLUGINS}.commands" not in sys.modules


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", "eval", "journal", "kaggle", "keys", "train", "weights"])
def test_lists_of_commands_show_whole_sentences(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), flag]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_help_imports_nothing_heavy() -> None:
    heavy = ["IPython", "numpy", "scipy", "server", "sympy", "uvicorn", "xllamacpp"]
    script = (
        "import sys; from client.main import main; code = main(['--help']);"
        f"found = [name for name in {heavy} if name in sys.modules]; sys.exit(str(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # to read a command's docstring its package is imported, which is empty
    assert done.stderr.strip() in ("[]", "['server']")
    assert "Usage: quorum" in done.stdout


def test_an_interrupt_while_the_command_is_imported_is_no_traceback() -> None:
    script = (
        "import os, signal, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'client.main': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from client.entry import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert quorum("--version") == 0
    assert capsys.readouterr().out == f"quorum {version('quorum-aimo')}\n"


def test_a_function_becomes_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert quorum("greet", "--name", "Ada") == 0
    assert capsys.readouterr().out == "hello Ada\n"


def test_an_app_becomes_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert quorum("group", "count", "3") == 0
    assert capsys.readouterr().out == "0 1 2\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nothing"], 2, "No such command 'nothing'"),
        (["greet", "--nmae", "x"], 2, "No such option"),
        (["fail", "ours"], 1, "quorum: pool size 0: must be at least 1\n"),
        (["fail", "usage"], 2, "quorum: --agree: too many\n"),
        (["fail", "group"], 2, "quorum: --agree: too many\n"),
        (["fail", "noted"], 1, "quorum: it died\n  | last words\n"),
        (["fail", "hostile"], 1, "quorum: red\n"),
        (["fail", "defect"], 1, "quorum: internal error: ZeroDivisionError: integer"),
        (["fail", "extra"], 1, "quorum: quorum fail needs xllamacpp.server, which is not"),
        (["fail", "interrupt"], 130, ""),
        (["fail", "interrupted-group"], 130, ""),
        (["fail", "exit"], 3, ""),
        (["broken"], 1, 'pip install "quorum-aimo[sglang]"'),
        (["gone"], 1, "install Quorum again"),
        (["partial"], 1, "this installation lacks client.nowhere; install Quorum again"),
        (["nowhere"], 1, "the module tests.client.nowhere cannot be imported"),
    ],
)
def test_errors_are_told_in_a_sentence(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quorum(*arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert "Traceback" not in shown.err


def test_debugging_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUORUM_DEBUG", "1")
    assert quorum("fail", "defect") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_terminal_that_lacks_characters_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert quorum("greet", "--name", "Erdős") == 0
    narrow.flush()
    assert narrow.buffer.getvalue() == b"hello Erd?s\n"


def test_closed_streams_are_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert quorum("greet", "--name", "Euler") == 0
    assert quorum("fail", "defect") == 1
    sys.stdout.close()
    sys.stderr.close()


def test_a_full_disk_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, write_through=True))
        assert quorum("greet", "--name", "Euler") == 1
        assert capsys.readouterr().err == (
            "quorum: the disk is full (No space left on device); free some space and try again\n"
        )


def test_extras_are_found_by_the_module_that_is_missing() -> None:
    assert extra_of("xllamacpp") == "embedded"
    assert extra_of("huggingface_hub") == "embedded"
    assert extra_of("grpc") == "kaggle"
    assert extra_of("pyarrow", "train") == "train"
    assert extra_of("pyarrow", "eval") == "eval"
    assert extra_of("matplotlib", "replay") == "plots"
    assert extra_of("hypothesis", "replay") == "dev"
    assert extra_of("httpx") is None
    assert extra_of("no_such_module") is None


def test_summaries_without_source() -> None:
    assert summary(entry("x", "no_such_package.module:f")) == ""
    assert summary(entry("x", "math:sin")) == ""


def test_run_from_its_folder_it_has_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DISTRIBUTION", "no-such-distribution")
    assert extra_of("xllamacpp") is None
    assert not registry.is_installed()
