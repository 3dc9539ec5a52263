"""Supervisors: who starts whom again, in which order, and how often."""
