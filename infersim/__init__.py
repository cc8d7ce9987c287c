"""infersim: a discrete-event simulator of datacentres that serve AI models."""

__version__ = "0.1.0"
