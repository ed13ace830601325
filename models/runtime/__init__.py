"""Model files: their description, and running them with onnxruntime or TensorRT.

`description`: the schema inside the ONNX or in a TOML beside it. `base`: the interface. `onnx`, `tensorrt`: the two
runtimes. `engine_record`: GPU and version of a TensorRT engine. `write_calibration`: a new calibration in an old file.
"""
