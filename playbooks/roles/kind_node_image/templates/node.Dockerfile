# What kind's own base image has, from Debian's packages.
FROM {{ debian_base_image }}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
      systemd conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2 pigz bash \
      ca-certificates curl jq procps e2fsprogs containerd runc containernetworking-plugins \
 && rm -rf /var/lib/apt/lists/*
COPY files/usr/local/bin/ /usr/local/bin/
COPY files/kind/ /kind/
COPY files/etc/ /etc/
RUN chmod 755 /usr/local/bin/* /kind /kind/bin /kind/bin/* \
 && find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
 && rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
      /lib/systemd/system/sockets.target.wants/*initctl* \
 && echo "ReadKMsg=no" >> /etc/systemd/journald.conf \
 && ln -sf /usr/lib/systemd/systemd /sbin/init \
 && for program in containerd ctr containerd-shim-runc-v2; do ln -s /usr/bin/$program /usr/local/bin/$program; done \
 && ln -s /usr/sbin/runc /usr/local/sbin/runc \
 && mkdir -p /opt/cni/bin /etc/kubernetes/manifests && ln -s /usr/lib/cni/* /opt/cni/bin/ \
 && systemctl enable kubelet.service containerd.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service \
 && ctr oci spec \
      | jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"}' \
      | jq 'del(.process.rlimits)' > /etc/containerd/cri-base.json
# Without CAP_SYS_RESOURCE no process may be made less likely to be killed when memory runs out.
RUN sed -i 's/SystemdCgroup = true/SystemdCgroup = false/; s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/; s#pause:3.10"#pause:{{ kind_node_image_pause_tag }}"#' /etc/containerd/config.toml
COPY 20-cgroup-v1.conf /etc/systemd/system/kubelet.service.d/20-cgroup-v1.conf
COPY load-images.sh /usr/local/bin/load-images.sh
COPY manifests/ /kind/manifests/
COPY programs/ /usr/bin/
RUN printf %s {{ kubernetes_tools_kubernetes_version }} > /kind/version
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
