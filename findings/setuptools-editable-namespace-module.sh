#!/usr/bin/env bash
# Version: setuptools 84.2.1, pip 23.2.1, Python 3.11, Linux
# Behaviour: a project whose packages lie at its top and are installed into a namespace ("ns.part" from part/, by package-dir
#   ns = "."), and that has one module of the namespace itself (py-modules = ["ns.__main__"]), installs well as a wheel: `ns.part`
#   imports and `python -m ns` runs. After `pip install -e .` not even `ns.part` imports: the finder of the editable install maps
#   `ns` to the folder as if it were a regular package, finds no __init__.py there, and its list of namespaces is empty, since only
#   what stands in `packages` is looked at for that list. One would expect an editable install to import what the wheel imports.
#   With "ns" in `packages` instead of py-modules both installs agree.
# Seen: wheel: part, main / editable: No module named 'ns' / editable with "ns" in packages: part, main
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check setuptools==84.2.1

mkdir -p project/part away
touch project/part/__init__.py
echo 'import ns.part; print("main")' >project/__main__.py
write_project() { # its lines on packages and modules
  cat >project/pyproject.toml <<END
[build-system]
requires = ["setuptools==84.2.1"]
build-backend = "setuptools.build_meta"
[project]
name = "ns"
version = "1"
[tool.setuptools]
package-dir = { ns = "." }
$1
END
}
try_install() { # pip's arguments; prints what imports and runs from elsewhere
  venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall "$@"
  (cd away && ../venv/bin/python -c 'import ns.part; print("part", end=", ")' && ../venv/bin/python -m ns) 2>&1 | tail -n 1 | sed 's/^ModuleNotFoundError: //'
  venv/bin/pip uninstall --quiet --yes ns
  rm -rf project/build project/*.egg-info
}

write_project 'packages = ["ns.part"]
py-modules = ["ns.__main__"]'
wheel=$(try_install ./project)
editable=$(try_install -e ./project)
write_project 'packages = ["ns", "ns.part"]'
listed=$(try_install -e ./project)
echo "wheel: $wheel / editable: $editable / editable with \"ns\" in packages: $listed"

[ "$wheel" = "part, main" ]
[ "$editable" = "No module named 'ns'" ]
[ "$listed" = "part, main" ]
