"""A Hugging Face folder as a teacher: config.json and safetensors, sentence-transformers, image processors."""
