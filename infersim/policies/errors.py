"""The error of a policy, shipped or a user's."""


class PolicyError(ValueError):
    """A policy is unknown, cannot be loaded, raised, or answered nonsense; the message says what would be right."""
