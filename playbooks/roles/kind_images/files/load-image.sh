#!/bin/bash
# Copies an image of the engine to the nodes of a kind cluster that do not have it yet: load-image.sh KIND CLUSTER IMAGE
# What a node has is noted on the node: kind would ask crictl, which a node image made here can not have.
# Prints each node that got it; nothing where the engine does not have the image, for then the nodes may pull it.
set -euo pipefail
kind=$1 cluster=$2 image=$3
note=/var/lib/kind-images/${image//[^A-Za-z0-9.-]/_}

id=$(docker image inspect --format '{{.Id}}' "$image" 2> /dev/null) || exit 0
for node in $("$kind" get nodes --name "$cluster"); do
  if [ "$(docker exec "$node" cat "$note" 2> /dev/null)" != "$id" ]; then
    "$kind" load docker-image --quiet --name "$cluster" --nodes "$node" "$image"
    docker exec "$node" sh -c 'mkdir -p "${1%/*}" && echo "$2" > "$1"' sh "$note" "$id"
    echo "$node"
  fi
done
