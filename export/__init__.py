"""Export of trained networks to ONNX and TensorRT, checked against the training, and speed on this machine.

`run` is the entry, `onnx` has the graphs, `contract` the checks, `manifest` the record beside a file, `starts` and
`start_from_onnx` bring public networks in, `convert` mmpose's checkpoints; `timing` is what `poseunion bench` measures.
"""
