"""Less error without training: smoothing before quantisation, corrected biases after it."""
