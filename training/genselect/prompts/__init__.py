"""What a chooser is asked."""
