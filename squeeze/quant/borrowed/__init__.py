"""What another quantiser found, nncf, brought into our own form: ranges of activations and corrected biases."""
