"""What arrives: arrival processes, lengths and traces."""
