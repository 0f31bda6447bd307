#!/bin/bash
# Loads the images of an archive into the containerd of a node that is being made: load-images.sh ARCHIVE
set -euo pipefail
containerd > /var/log/containerd-load.log 2>&1 &
until ctr version > /dev/null 2>&1; do
  kill -0 %1 || { cat /var/log/containerd-load.log >&2; exit 1; }
  sleep 0.2
done
ctr --namespace k8s.io images import --no-unpack "$1" > /dev/null
kill %1
wait %1 || true
rm /var/log/containerd-load.log
