"""Model files: their description, and running them with onnxruntime or TensorRT.

`description`: the schema inside the ONNX or in a TOML beside it. `base`: what every runtime offers. `onnx`, `tensorrt`:
the two. `engine_record`: what a TensorRT engine was built for. `write_calibration`: a new calibration in an old file.
"""
