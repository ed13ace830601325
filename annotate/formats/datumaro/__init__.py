"""CVAT skeletons as Datumaro 1.0 json, read and written."""
