#!/usr/bin/env bash
# Install CellProfiler 4.2.8.1, without its window, for the tests that run in it:
#
#   tests/cellprofiler_plugins/install_host.sh PYTHON FOLDER
#
# PYTHON is 3.8, 3.9 or 3.11 of CPython; FOLDER/3.8 (or 3.9, 3.11) becomes the environment. It needs
# a JDK, a C compiler and the headers of MySQL or MariaDB (Debian: default-jdk-headless, gcc,
# default-libmysqlclient-dev). With 3.8 the versions are those of the downloaded app; with 3.9 those
# that CellProfiler asks for; with 3.11, where these cannot be built, newer ones.
set -euo pipefail

version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
target="$2/$version"
"$1" -m venv "$target"
install() { "$target/bin/pip" install --quiet --disable-pip-version-check "$@"; }

# CellProfiler and what is built for it know NumPy 1 alone.
printf 'numpy<2\n' > "$target/constraints.txt"
export PIP_CONSTRAINT="$target/constraints.txt" PIP_BUILD_CONSTRAINT="$target/constraints.txt"

case "$version" in
3.8 | 3.9)
    install cellprofiler-core==4.2.8.1 scipy==1.9.0 'scikit-learn<1' 'tifffile<2022.4.22' \
        'inflect>=2.1,<7' 'Jinja2>=2.11.2' joblib mahotas Pillow sentry-sdk==0.18.0 requests six \
        imageio mysqlclient==1.4.6 'pytest>=8' 'hypothesis>=6.100'
    install --no-deps cellprofiler==4.2.8.1
    ;;
3.11)
    install 'setuptools<81' 'numpy<2' 'centrosome>=1.3.4' boto3 docutils h5py imageio matplotlib \
        prokaryote==2.4.4 psutil 'python-bioformats>=4.0.7,<5' 'python-javabridge>=4.0.5,<5' \
        pyzmq scikit-image scipy six 'inflect>=2.1,<7' Jinja2 joblib mahotas Pillow requests \
        scikit-learn tifffile sentry-sdk==0.18.0 mysqlclient==1.4.6 'pytest>=8' 'hypothesis>=6.100'
    install --no-deps cellprofiler-core==4.2.8.1 cellprofiler==4.2.8.1
    ;;
*)
    echo "CellProfiler 4.2.8.1 is tested on Python 3.8, 3.9 and 3.11, not $version" >&2
    exit 2
    ;;
esac
if [ "$version" = 3.8 ]; then
    install --no-deps numpy==1.23.1 scipy==1.9.0 matplotlib==3.1.3 h5py==3.7.0 \
        scikit-image==0.18.3 scikit-learn==0.24.2 tifffile==2022.4.8
fi
