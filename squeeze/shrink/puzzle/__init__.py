"""A network whose parts are replaced by cheaper ones that were fitted apart from each other, then trained as a whole.

parts          which parts have one tensor in and one out; the network with something else in their place
replacements   what may stand in the place of a part
fit            what a replacement learns from: what goes into its part, and what comes out
choice         which replacement stands where: an integer program over loss, latency and bytes

After Bercovich et al., "Puzzle: Distillation-Based NAS for Inference-Optimized LLMs", 2024.
"""
