#!/usr/bin/env bash
# Put a Hugging Face Space together: the committed code, its Dockerfile, and the Space's own README.
#
#   app/space/make.sh ../my-space
#   hf upload ME/poseunion ../my-space --repo-type space
#
# The folder was put together and its installation tried in a fresh environment; no Space was run from it.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 NEW_FOLDER" >&2; exit 2; }
mkdir "$1"  # fails where there is one already
target="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
git archive HEAD pyproject.toml LICENSE NOTICE constraints.txt locks poseunion models annotate training export app | tar -x -C "$target"
# A Space is served below hf.space, and shown in a frame of huggingface.co.
sed -e 's/^ENV POSEUNION_ALLOWED_HOSTS=.*/ENV POSEUNION_ALLOWED_HOSTS="localhost 127.0.0.1 *.hf.space"/' \
    -e 's|"--port", "7860"\]|"--port", "7860", "--embed-in", "https://huggingface.co"]|' \
    "$target/app/Dockerfile" > "$target/Dockerfile"
rm "$target/app/Dockerfile"
cp app/space/README.md "$target/README.md"
