"""`/v1/policies`: what requests may name. `/v1/settings`: what is in force."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import JsonValue, SecretStr
from pydantic_core import to_jsonable_python

from client.schema import PolicyCatalogue, PolicyInfo, SettingInfo, SettingList, StrategyInfo
from server.parts import Parts
from server.settings import Setting, declared
from voting.policies import CATALOGUES
from voting.strategies import STRATEGIES, Strategy

#: Stands for a secret that is set.
HIDDEN = "(set)"

router = APIRouter(tags=["server"])


async def parts(request: Request) -> Parts:
    """Return what the lifespan opened."""
    found: Parts = request.state.parts
    return found


OpenParts = Annotated[Parts, Depends(parts)]


@router.get("/v1/policies")
async def policies(parts: OpenParts) -> PolicyCatalogue:
    """Say which strategies and policies a request may name, and what they do."""
    return PolicyCatalogue(
        default=parts.settings.solve.strategy,
        strategies=[_strategy(each) for each in STRATEGIES.values()],
        policies={
            kind: [
                PolicyInfo(name=entry.name, usage=entry.usage, meaning=entry.meaning)
                for entry in catalogue.entries.values()
            ]
            for kind, catalogue in CATALOGUES.items()
        },
    )


@router.get("/v1/settings")
async def settings(parts: OpenParts) -> SettingList:
    """Say which settings are in force; secrets are left out."""
    return SettingList(settings=[_setting(each, parts) for each in declared()])


def _strategy(strategy: Strategy) -> StrategyInfo:
    names = strategy.policies
    return StrategyInfo(
        name=strategy.name,
        meaning=strategy.description,
        tools=strategy.tools,
        attempts=strategy.attempts,
        policies={kind: getattr(names, kind) for kind in CATALOGUES},
    )


def _setting(setting: Setting, parts: Parts) -> SettingInfo:
    value = getattr(getattr(parts.settings, setting.section), setting.name)
    default = setting.field.get_default(call_default_factory=True)
    return SettingInfo(
        name=setting.dotted,
        value=_shown(value),
        default=_shown(default),
        changed=value != default,
        meaning=setting.field.description or "",
    )


def _shown(value: Any) -> JsonValue:  # noqa: ANN401 - of any setting
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    shown: JsonValue = to_jsonable_python(value)
    return shown
