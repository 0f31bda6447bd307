# Run in the base system: brings it up to date, and leaves out what no container reads. Packages installed later
# are treated alike. Copyright files stay, as the licences ask for.
set -eu

cat > /etc/dpkg/dpkg.cfg.d/container <<'END'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/groff/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
END
cat > /etc/apt/apt.conf.d/container <<'END'
Acquire::Languages "none";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
END

# No package may start a service while an image is built.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -qq > /dev/null

find /usr/share/doc -mindepth 1 ! -type d ! -name copyright -delete
find /usr/share/doc -mindepth 1 -type d -empty -delete
rm -rf /usr/share/groff/* /usr/share/info/* /usr/share/lintian/* /usr/share/locale/* /usr/share/man/*
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/*.log /var/log/apt/* /tmp/*
# This machine's own, brought along by debootstrap; a container gets its own.
rm -f /etc/hostname /etc/resolv.conf
