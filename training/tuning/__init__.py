"""Fine-tuning on Tinker: recipes, the run's folder, supervised training, sweeps."""
