"""The page that shows what poseunion does: `poseunion demo`. Gradio is imported when the page is built, not before."""
