"""The journal: every event and every token of every solve, in one SQLite file.

`journal.Journal` writes it behind the solve loop, `reader.JournalReader` reads it anywhere, and
the commands of `quorum journal` list, show, export, prune and check it.
"""
