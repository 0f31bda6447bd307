#!/bin/bash
# The network of the cluster on one node: an address for each pod out of the node's range, a route to each other
# node's range, and the node's own address for what leaves the cluster. Network policies are not enforced.
set -u

range=
while [ -z "$range" ]; do
  range=$(kubectl get node "$NODE_NAME" --output jsonpath='{.spec.podCIDR}')
  [ -n "$range" ] || sleep 1
done

cat > /etc/cni/net.d/.new <<CONFIGURATION
{"cniVersion": "0.4.0", "name": "catalog-kind", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
            "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "$range"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIGURATION
mv /etc/cni/net.d/.new /etc/cni/net.d/10-catalog-kind.conflist

outwards=(POSTROUTING --source "$POD_SUBNET" ! --destination "$POD_SUBNET" --jump MASQUERADE)
iptables --table nat --check "${outwards[@]}" 2> /dev/null || iptables --table nat --append "${outwards[@]}"

# kube-proxy turns the address of a service into that of a pod. What it did not turn (yet) must not leave the cluster: an
# outer network might answer in the service's place.
for chain in FORWARD OUTPUT; do
  astray=("$chain" --destination "$SERVICE_SUBNET" --jump REJECT)
  iptables --check "${astray[@]}" 2> /dev/null || iptables --append "${astray[@]}"
done

nodes='{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
while true; do
  kubectl get nodes --output jsonpath="$nodes" | while read -r name subnet address; do
    if [ "$name" != "$NODE_NAME" ] && [ -n "$address" ]; then ip route replace "$subnet" via "$address"; fi
  done
  sleep 5
done
