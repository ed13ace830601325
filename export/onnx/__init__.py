"""ONNX graphs: export from torch, simplification, half precision, eight bits, preprocessing inside the file."""
