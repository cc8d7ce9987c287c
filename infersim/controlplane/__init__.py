"""When things change: SimPy processes over the compiled fleet."""
