#!/usr/bin/env bash
# Installs what tests need beyond Go and make, as Debian packages: a Java runtime, Maven, kcat, shellcheck, gcc
# and strace.
# Does nothing where all are there. Without root it says what to install, and fails.
#
#   install.sh [--check] [PROGRAM...]
#
# PROGRAM is java, mvn, kcat, shellcheck, gcc or strace; all of them without arguments.
# --check: install nothing, only say what is missing.

set -euo pipefail

declare -A package=([java]=openjdk-17-jre-headless [mvn]=maven [kcat]=kcat [shellcheck]=shellcheck [gcc]=gcc [strace]=strace)
check=''
if [[ ${1:-} == --check ]]; then
  check=1
  shift
fi
missing=()
for program in "${@:-java mvn kcat shellcheck gcc strace}"; do
  for p in $program; do
    command -v "$p" >/dev/null || missing+=("${package[$p]}")
  done
done
((${#missing[@]})) || exit 0

if [[ $check || $(id -u) != 0 ]]; then
  echo "missing: install the Debian packages ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates
