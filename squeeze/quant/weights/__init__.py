"""Integers for the weights of a layer: levels, rounding to nearest and for the output of the layer."""
