"""The page: solves as they happen, their record, runs and training data, in a browser.

Templates are rendered here and scripts only add to them. Everything that a model, a kernel or a
caller wrote is text: `visible` makes it harmless to read, the templates escape it, the scripts set
it as `textContent`, and the content policy lets nothing else run.
"""
