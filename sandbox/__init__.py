"""Kernels: a pool of Jupyter kernels that run what a model writes."""
