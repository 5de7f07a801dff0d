"""ONNX files of anybody -> the one form that squeeze works on."""
