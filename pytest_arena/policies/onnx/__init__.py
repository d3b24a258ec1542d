"""Policies that are ONNX models, run by onnxruntime."""
