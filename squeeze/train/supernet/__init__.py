"""Encoders that inherit the teacher's weights: one weight-sharing network, of which every student is a part.

inherited    the teacher as a torch network, from its ONNX graph
importance   what of it matters, and the network sorted by that
space        which parts there are to choose from
states       what the teacher says of every token, kept
learner      training of all parts at once, or of one
choice       which part is best inside a budget
"""
