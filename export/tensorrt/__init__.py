"""TensorRT engines: building, and a precheck of ONNX files without a GPU."""
