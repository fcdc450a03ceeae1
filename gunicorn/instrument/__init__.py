"""Loggers that also send metrics."""
