#!/bin/sh
# A virtual environment with mmpose 1.3.2 for the CPU, nothing compiled but xtcocotools:  setup_mmpose.sh FOLDER
# torch, OpenCV, SciPy, Pillow and matplotlib are borrowed from the environment of the `python3` named by BORROW
# (default: the project's .venv), so that both sides compute with the same libraries.
set -eu
folder=${1:?give the folder to make}
here=$(cd "$(dirname "$0")" && pwd)
borrow=${BORROW:-$here/../../.venv/bin/python}
"$borrow" -m venv "$folder"
pip="$folder/bin/python -m pip install --quiet --disable-pip-version-check"
$pip "setuptools<80" wheel cython "numpy<2"
$pip --no-deps mmengine==0.10.7 mmpose==1.3.2 mmdet==3.3.0 mmcv-lite==2.1.0
$pip addict json_tricks munkres platformdirs pyyaml regex shapely six termcolor terminaltables tomli yapf==0.40.2
# For mmpose's own training (mmpose_train.py): its configurations blur and blacken with albumentations.
$pip --no-deps albumentations==1.3.1 qudida==0.0.4 scikit-learn==1.5.2 joblib threadpoolctl cloudpickle
$pip --no-deps --no-build-isolation --no-binary xtcocotools xtcocotools==1.14.3
# Only now: pip should not have seen the borrowed packages.
site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$borrow" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/zz_borrowed.pth"
