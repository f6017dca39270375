"""What each command does: use cases without click, and without printing."""
