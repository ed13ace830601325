"""`poseunion predict`: people in pictures and videos."""
