"""Applications: the `poseunion` command, `predict` on pictures and videos, and the `demo`. No room imports this one."""
