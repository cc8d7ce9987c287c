"""What holds for all tests: examples of Hypothesis have no deadline, since a shared machine is slow when it is busy."""

from hypothesis import settings

settings.register_profile("infersim", deadline=None)
settings.load_profile("infersim")
