"""The import table of docs/architecture.md holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: For each package, the prefixes of our own modules that it may import beside itself.
ALLOWED: dict[str, tuple[str, ...]] = {
    "voting": (),
    "sandbox": (),
    "client": (),
    "server": ("voting", "sandbox", "client.schema"),
    "kaggle_notebook": ("client", "voting"),
    "training": ("client", "voting"),
    "benchmarks": ("voting", "sandbox", "client", "server", "kaggle_notebook", "training"),
}


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the absolute names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_the_table_allows(package: str) -> None:
    ours = {*ALLOWED, "tests"}
    allowed = (package, *ALLOWED[package])
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in imported_modules(path)
        if module.split(".")[0] in ours and not any(is_within(module, p) for p in allowed)
    ]
    assert wrong == []


def test_nothing_imports_the_shared_folder() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for package in ALLOWED
        for path in (ROOT / package).rglob("*.py")
        if package != "benchmarks" and "../shared" in path.read_text(encoding="utf-8")
    ]
    assert wrong == []
