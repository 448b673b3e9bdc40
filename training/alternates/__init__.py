"""Other continuations of a trace's prefixes, at the boundaries of its paragraphs."""
