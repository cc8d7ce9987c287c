"""What the user asked for: frozen models of scenarios, chips, models and engines."""
