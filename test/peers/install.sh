#!/usr/bin/env bash
# Installs what the client tests need beyond Go, make and gcc: a Java runtime, Maven, kcat and shellcheck,
# as Debian packages. Does nothing where all are there. Without root it only says what to install.
#
#   install.sh [--check]    --check: say what is missing, install nothing; exit code 1 if anything is

set -euo pipefail

declare -A package=([java]=openjdk-17-jre-headless [mvn]=maven [kcat]=kcat [shellcheck]=shellcheck [gcc]=gcc)
missing=()
for program in "${!package[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
((${#missing[@]})) || exit 0

if [[ ${1:-} == --check || $(id -u) != 0 ]]; then
  echo "missing: install the Debian packages ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates
