#!/bin/sh
# Build and check TensorRT engines on a host with an NVIDIA GPU:  docker/engines.sh FOLDER [ANNOTATIONS IMAGES]
#
# FOLDER holds *-fp16.onnx and *-int8-symmetric.onnx of `poseunion export`; the engines are written beside them. Each is
# compared with its ONNX file while it is built, and with ANNOTATIONS and IMAGES on real people, too.
set -eu
folder=$(cd "${1:?give the folder of exported ONNX files}" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
image=poseunion-tensorrt
docker build --quiet --file "$here/docker/Dockerfile" --tag "$image" "$here"

inside() {
    docker run --rm --gpus all --volume "$folder:/files" "$@"
}

for source in "$folder"/*-fp16.onnx "$folder"/*-int8-symmetric.onnx; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .onnx)
    inside "$image" "poseunion export --check tensorrt --model /files/$name.onnx &&
        poseunion engine /files/$name.onnx --out /files/$name.engine --timing-cache /files/timings.bin --overwrite"
    if [ $# -eq 3 ]; then
        annotations=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
        images=$(cd "$3" && pwd)
        inside --volume "$annotations:/annotations.json:ro" --volume "$images:/images:ro" "$image" \
            "poseunion evaluate --model /files/$name.onnx --model /files/$name.engine \
                --annotations /annotations.json --images /images"
    fi
done
