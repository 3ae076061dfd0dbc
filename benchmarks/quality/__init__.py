"""Features in, numbers out: image scores, mode counts, label scores and measures of a run's stability."""
