"""Pose networks and the person detector as torch modules. This package imports no torch; its modules do."""
