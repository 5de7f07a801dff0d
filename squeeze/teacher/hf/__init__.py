"""A Hugging Face folder as a teacher: config.json and safetensors, what sentence-transformers adds, image processors."""
