"""Brings a model's files into the page cache before an engine reads them."""
