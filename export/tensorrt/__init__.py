"""TensorRT engines: building, and what can be checked of a graph without a GPU."""
