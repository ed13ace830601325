"""MPII's annotations: the json in circulation and the original MATLAB file, read and written."""
