"""`python -m poseunion`: the `poseunion` command."""

from poseunion.app.cli import main

main()
