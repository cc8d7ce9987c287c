"""What is served: the compiled loop. Imports nothing of infersim."""
