"""Robot-policy evaluations in simulation as pytest tests."""

__version__ = "0.1.0"
