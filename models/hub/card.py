"""Model card of a repository: metadata with `model-index`, use, accuracy, licence, and the model's own card."""

from __future__ import annotations

import re

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from poseunion.models.errors import install_command
from poseunion.models.hub_files import HUB_PREFIX, HubManifest

TASK = "keypoint-detection"
# Links of a card lead to other files of the project, which the repository has not.
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)[^)]*\)")


def model_card(manifest: HubManifest, repository: str, own: str = "") -> ModelCard:
    """Card of a repository.

    Args:
        own: the model's own card, Markdown; appended without its title and without links to files.
    """
    data = ModelCardData(
        library_name="poseunion",
        pipeline_tag=TASK,
        tags=["pose-estimation", "onnx", "model_hub_mixin"],
        license="other",
        license_name="see-license-file",
        license_link="LICENSE",
        model_name=manifest.name,
        eval_results=[
            EvalResult(
                task_type=TASK,
                dataset_type=file,
                dataset_name=file,
                metric_type=measure,
                metric_name=f"{measure}, percent",
                metric_value=value,
            )
            for file, measures in manifest.accuracy.items()
            for measure, value in measures.items()
        ],
    )
    width, height = manifest.size_wh
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {manifest.name}",
        f"{len(manifest.keypoints)} keypoints ({manifest.skeleton}) of one person in a {width}x{height} crop: "
        f"{', '.join(manifest.keypoints)}.",
        "```python\nfrom poseunion.models import load_predictor\n\n"
        f'people = load_predictor("{HUB_PREFIX}{repository}")("picture.jpg")\n```',
        f"Needs `{install_command('hub')}`. `load_predictor` compares every file with the SHA-256 in `config.json`.",
        f"## Accuracy\n\n{_table(manifest)}",
        f"## Licence\n\n{manifest.licence or 'None is stated.'}",
    ]
    if own:
        body = own.split("\n", 1)[1] if own.startswith("# ") else own
        parts.append(_LOCAL_LINK.sub(r"\1", body).strip())
    return ModelCard("\n\n".join(parts) + "\n")


def _table(manifest: HubManifest) -> str:
    if not manifest.accuracy:
        return "Not measured."
    rows = [
        f"| {file} | {measure} | {value:g} |"
        for file, found in manifest.accuracy.items()
        for measure, value in found.items()
    ]
    return "\n".join(["| file | measure | percent |", "|---|---|---|", *rows])
