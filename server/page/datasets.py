"""Viewers of problems, corpus and training samples."""

from server.page.answering import page_router

router = page_router()
