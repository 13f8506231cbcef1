"""Calibration on held-out genes: levels of a gene, intervals, and reliability."""
