"""The wire schema is one package: every name is had from `client.schema`."""

import ast
import re
from pathlib import Path

import pytest

from client import schema
from client.schema import RUN_ID_PATTERN, ChatRequest, CompletionRequest

FOLDER = Path(schema.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def defined_names(module: str) -> set[str]:
    """Return the public names that a module of the schema defines."""
    names = set()
    for node in ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_name_of_a_module_is_had_from_the_package(module: str) -> None:
    assert defined_names(module) - set(schema.__all__) == set()


def test_the_package_offers_nothing_else() -> None:
    assert set(schema.__all__) == set().union(*map(defined_names, MODULES))


def test_outside_the_package_nobody_names_its_modules() -> None:
    root = FOLDER.parent.parent
    wrong = [
        f"{path.relative_to(root)}: client.schema.{module}"
        for top in ("client", "server", "kaggle_notebook", "training", "benchmarks", "docs")
        for path in (root / top).rglob("*.py")
        if FOLDER not in path.parents
        for module in MODULES
        if f"client.schema.{module} " in path.read_text(encoding="utf-8")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "eval-0123456789ab",
        "eval-0123456789ab.2",
        "kaggle-0123456789ab",
        "2026.04",
        "_",
        "-",
        "x" * 64,
    ],
)
def test_names_of_runs(name: str) -> None:
    assert re.fullmatch(RUN_ID_PATTERN, name)


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a b", "x" * 65])
def test_what_no_path_can_reach_is_no_name_of_a_run(name: str) -> None:
    assert not re.fullmatch(RUN_ID_PATTERN, name)


@pytest.mark.parametrize("request_type", [ChatRequest, CompletionRequest])
def test_an_empty_stop_is_none_and_in_the_description(
    request_type: type[ChatRequest] | type[CompletionRequest],
) -> None:
    text, texts, _ = request_type.model_json_schema()["properties"]["stop"]["anyOf"]
    assert (text["type"], "minLength" in text) == ("string", False)
    assert texts["items"]["minLength"] == 1
