"""Adapters from the service to this machine, and outputs to Kaggle."""
