"""Export of trained networks to ONNX and TensorRT, checked against the training, and speed on this machine.

`run` leads, `onnx` has the graphs, `contract` what must agree, `manifest` what is written beside a file, `starts` and
`start_from_onnx` bring public networks in, `convert` mmpose's checkpoints; `timing` is what `poseunion bench` measures.
"""
