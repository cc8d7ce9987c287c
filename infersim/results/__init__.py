"""What was learnt: frames, metrics, money, energy, plots and the run directory."""
