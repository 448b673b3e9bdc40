"""Questions that the clients put to a server: one answer each, nothing that stays open."""

from abc import ABC, abstractmethod
from typing import TypeVar

from client.exchange import (
    Call,
    list_call,
    models_call,
    policies_call,
    select_call,
    settings_call,
    show_call,
    start_call,
)
from client.schema import (
    ModelList,
    PolicyCatalogue,
    SelectReport,
    SelectRequest,
    SettingList,
    SolveDetail,
    SolveList,
    SolveRequest,
)

Answer = TypeVar("Answer")
#: What a list may be filtered by; see `GET /v1/solves` in the reference.
Filter = str | int | None


class Asking(ABC):
    """The questions of the synchronous client."""

    @abstractmethod
    def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""

    def start(self, request: SolveRequest) -> SolveDetail:
        """Begin to solve a problem without waiting; it goes on whether this program does or not."""
        return self.ask(start_call(request))

    def show(self, solve_id: str) -> SolveDetail:
        """Return a solve, with its result once it has ended; raises `NotFound`."""
        return self.ask(show_call(solve_id))

    def list(self, **filters: Filter) -> SolveList:
        """Return a page of solves, newest first; `after` is the `next` of the page before."""
        return self.ask(list_call(filters))

    def select(self, solve_id: str, request: SelectRequest) -> SelectReport:
        """Choose again among the attempts of a solve that has ended; raises `NotFound`."""
        return self.ask(select_call(solve_id, request))

    def models(self) -> ModelList:
        """Return the model that is served."""
        return self.ask(models_call())

    def policies(self) -> PolicyCatalogue:
        """Return the strategies and policies that a request may name."""
        return self.ask(policies_call())

    def settings(self) -> SettingList:
        """Return the settings in force."""
        return self.ask(settings_call())


class AsyncAsking(ABC):
    """The questions of the asynchronous client."""

    @abstractmethod
    async def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""

    async def start(self, request: SolveRequest) -> SolveDetail:
        """Begin to solve a problem without waiting; it goes on whether this program does or not."""
        return await self.ask(start_call(request))

    async def show(self, solve_id: str) -> SolveDetail:
        """Return a solve, with its result once it has ended; raises `NotFound`."""
        return await self.ask(show_call(solve_id))

    async def list(self, **filters: Filter) -> SolveList:
        """Return a page of solves, newest first; `after` is the `next` of the page before."""
        return await self.ask(list_call(filters))

    async def select(self, solve_id: str, request: SelectRequest) -> SelectReport:
        """Choose again among the attempts of a solve that has ended; raises `NotFound`."""
        return await self.ask(select_call(solve_id, request))

    async def models(self) -> ModelList:
        """Return the model that is served."""
        return await self.ask(models_call())

    async def policies(self) -> PolicyCatalogue:
        """Return the strategies and policies that a request may name."""
        return await self.ask(policies_call())

    async def settings(self) -> SettingList:
        """Return the settings in force."""
        return await self.ask(settings_call())
