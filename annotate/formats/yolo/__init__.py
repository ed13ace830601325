"""YOLO-pose datasets: data.yaml with label files, read and written."""
