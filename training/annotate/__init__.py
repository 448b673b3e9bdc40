"""What people and models say of traces: reflections, comparisons, how far they agree."""
