"""Convolutional students that inherit: one weight-sharing network made of the teacher, every student a slice of it.

normalised   the teacher with normalisation behind its convolutions again
slices       which channels and blocks may go, and what a part has of each layer
sorting      the teacher sorted by what matters most, so that a part is a prefix
space        which parts there are to choose from
learner      training of all parts at once
choice       what each part loses, and which are inside a budget
"""
