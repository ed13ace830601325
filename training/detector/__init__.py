"""Training the person detector: pictures, assignment of boxes to cells, losses, loop."""
