"""Models on the Hugging Face Hub: saved, described and published through huggingface_hub's mixin.

`load_predictor("hf://owner/name")` reads them (`models.hub_files`); it needs nothing of this package.
"""

from poseunion.models.errors import MissingExtraError

try:
    import huggingface_hub  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("huggingface_hub", "hub") from error
