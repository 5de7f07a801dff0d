"""Encoders whose tokens get as many learners as they need (Wójcik et al., "Adaptive Computation Modules", 2024).

modules    learners against the linear layers that they stand for, and gates against what learners lose
budget     what learners cost, gates that are drawn, and what keeps both in hand
capacity   how many tokens a learner gets in the file, for the share of operations that was asked for
phase      one training of some of the weights
conversion what all of them are given
train      all of them, one after the other
"""
