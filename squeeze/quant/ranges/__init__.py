"""Ranges of activations over calibration samples, and the integer grids that cover them."""
