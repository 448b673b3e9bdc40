"""Tables of what the code declares beside the wire: settings, strategies, errors."""

import inspect
from itertools import groupby
from typing import Any

import annotated_types

import client.errors
from docs.markdown import code, sentence, table
from server.sections.engine import EngineSettings
from server.sections.engines import NamedEngineSettings
from server.settings import Setting, Settings, declared, declared_of_engine
from server.solve import recipe
from voting.policies import CATALOGUES
from voting.strategies import STRATEGIES, Strategy


def settings() -> str:
    """Return a table for each section of the settings."""
    parts = []
    for section, group in groupby(declared(), key=lambda setting: setting.section):
        rows = [_setting_row(setting) for setting in group]
        heading = f"## `[{section}]`\n\n{_meaning_of(section)}"
        parts.append(f"{heading}\n\n{table(_SETTING_HEADINGS, rows)}")
    return "\n\n".join([*parts, _further_engines()])


def _further_engines() -> str:
    """Return the part on settings of further engines: those that section `engine` has not."""
    own = [
        setting
        for setting in declared_of_engine("name")
        if setting.name not in EngineSettings.model_fields
    ]
    meaning = sentence((inspect.getdoc(NamedEngineSettings) or "").partition("\n")[0])
    rest = (
        "It has every setting of `[engine]`, by file or by variable (`model` of an engine called"
        " planner is `QUORUM_ENGINES_PLANNER_MODEL`), but no flags; and these:"
    )
    rows = [_setting_row(setting)[:-1] for setting in own]
    return f"## `[engines.NAME]`\n\n{meaning} {rest}\n\n{table(_SETTING_HEADINGS[:-1], rows)}"


_SETTING_HEADINGS = ("Name", "Default", "Meaning, unit", "Range", "Variable", "Flag")


def _meaning_of(section: str) -> str:
    return sentence(inspect.getdoc(Settings.model_fields[section].annotation) or "")


def _setting_row(setting: Setting) -> list[str]:
    default = setting.field.default
    return [
        code(setting.name),
        code(str(default).lower() if isinstance(default, bool) else str(default)),
        setting.field.description or "",
        bounds(setting.field.metadata),
        code(setting.variable),
        code(setting.flag),
    ]


def bounds(metadata: list[Any]) -> str:
    """Return the range that a field's constraints leave: `1 to 256`, `above 0`."""
    low = high = ""
    for constraint in metadata:
        match constraint:
            case annotated_types.Ge(ge=value):
                low = _number(value)
            case annotated_types.Gt(gt=value):
                low = f"above {_number(value)}"
            case annotated_types.Le(le=value):
                high = _number(value)
            case annotated_types.Lt(lt=value):
                high = f"under {_number(value)}"
            case _:
                pass
    if low and high:
        return f"{low} to {high}"
    if high:
        return f"at most {high}"
    return f"at least {low}" if low and not low.startswith("above") else low


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def strategies() -> str:
    """Return the table of strategies by name."""
    headings = ("Name", "What it does", "Tools", "Attempts", "Stops early", "Vote", "Answer")
    return table(headings, [_strategy_row(each) for each in STRATEGIES.values()])


def _strategy_row(strategy: Strategy) -> list[str]:
    attempts = "as asked" if strategy.attempts is None else str(strategy.attempts)
    return [
        code(strategy.name),
        strategy.description,
        "yes" if strategy.tools else "no",
        attempts + (", temperature 0" if strategy.greedy else ""),
        code(strategy.policies.early_stop),
        code(strategy.policies.weight),
        code(strategy.policies.selector),
    ]


def policies() -> str:
    """Return a table for each kind of policy, by name."""
    parts = []
    for kind, catalogue in CATALOGUES.items():
        rows = [[code(usage), meaning] for usage, meaning in catalogue.usages()]
        parts.append(f"### `{kind}`\n\n{table(('Written', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def recipes() -> str:
    """Return the table of recipes by name."""
    return table(("Written", "Meaning"), [[code(usage), say] for usage, say in recipe.usages()])


def client_errors() -> str:
    """Return the tree of the client's errors, as its module draws it."""
    tree = (client.errors.__doc__ or "").partition("\n\n")[2].strip()
    return f"```text\n{tree}\n```"
