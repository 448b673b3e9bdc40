"""Datasets, models and notebooks to Kaggle, through its own package."""
