"""Pictures of a solve."""
