"""Bits for each layer: how much each minds fewer, and the best choice that fits."""
