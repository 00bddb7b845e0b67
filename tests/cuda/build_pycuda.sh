#!/bin/sh
# build_pycuda.sh PYTHON [FOLDER]: builds a wheel of PyCUDA on a machine that has a CUDA toolkit but no driver, and
# installs it for PYTHON. FOLDER (default: a temporary one) keeps the wheel and a stand-in for libcuda.so.1.
#
# PyCUDA links to libcuda, which comes with a driver. The stand-in lets it link: every call answers "no device" (100).
# It is for linking and for tests of what happens without a device; on a machine with a driver leave it out.
set -e
python=${1:?usage: build_pycuda.sh PYTHON [FOLDER]}
folder=${2:-$(mktemp -d)}
toolkit=${CUDA_HOME:-/usr/local/cuda}
version=${PYCUDA_VERSION:-2026.1}
mkdir -p "$folder/stub" "$folder/home"

echo "a stand-in for libcuda in $folder/stub"
printf '#include <cuda.h>\n#include <cudaProfiler.h>\n' | gcc -E -P "-I$toolkit/include" - |
  grep -oP '\bcu[A-Z]\w*(?=\s*\()' | sort -u | grep -vxE 'cuGetError(String|Name)|cuDriverGetVersion' >"$folder/stub/names"
{
  echo 'int cuGetErrorString(int code, const char **text) { *text = "no CUDA driver (stand-in)"; return 0; }'
  echo 'int cuGetErrorName(int code, const char **text) { *text = "CUDA_ERROR_NO_DEVICE"; return 0; }'
  echo 'int cuDriverGetVersion(int *version) { *version = 0; return 0; }'
  while read -r name; do echo "int $name(void) { return 100; }"; done <"$folder/stub/names"
} >"$folder/stub/stub.c"
gcc -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$folder/stub/libcuda.so.1" "$folder/stub/stub.c"
ln -sf libcuda.so.1 "$folder/stub/libcuda.so"

echo "PyCUDA $version, without curand and OpenGL"
printf 'CUDA_ENABLE_CURAND = False\nLDFLAGS = ["-s"]\nCUDA_ROOT = "%s"\n' "$toolkit" >"$folder/home/.aksetup-defaults.py"
HOME="$folder/home" CUDA_ROOT="$toolkit" LIBRARY_PATH="$folder/stub${LIBRARY_PATH:+:$LIBRARY_PATH}" \
  "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" "pycuda==$version"
"$python" -m pip install --quiet "$folder"/wheel/pycuda-*.whl
echo "installed from $folder/wheel; with LD_LIBRARY_PATH=$folder/stub it imports, and finds no device"
