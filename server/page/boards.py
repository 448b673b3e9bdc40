"""Runs, and the board of one: problem by attempt; right, wrong or stopped; time."""

from server.page.answering import page_router

router = page_router()
