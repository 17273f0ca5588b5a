"""Fits the price of a flat to its area and floor."""
