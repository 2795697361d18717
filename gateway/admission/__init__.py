"""May this call run: plan, choose, judge."""
