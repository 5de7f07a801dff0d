"""Vision transformers that begin by looking at a few patches of each image: a masked autoencoder with a teacher.

Bai et al., "Masked Autoencoders Enable Efficient Knowledge Distillers" (DMAE), 2023.

grid      where an image is masked, for networks with patches of other sizes too
network   what of a student and of its teacher sees the visible patches alone, and the decoder
train     the training, and its loss
"""
