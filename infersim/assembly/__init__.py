"""From a resolved scenario to the parts of a run."""
