"""Who calls: the proof, verified."""
