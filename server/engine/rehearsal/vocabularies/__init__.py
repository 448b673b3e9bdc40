"""Small vocabularies for rehearsals, with the control tokens of their families.

`python -m server.engine.rehearsal.vocabularies.make` trained them: on Quorum's own prompts and on
what rehearsals write.
"""
