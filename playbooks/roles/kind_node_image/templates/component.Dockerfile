{% if kind_node_image_component.packages is defined %}
FROM {{ debian_base_image }}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends {{ kind_node_image_component.packages | join(' ') }} \
 && rm -rf /var/lib/apt/lists/*
{% else %}
FROM scratch
{% endif %}
COPY {{ ['programs', 'companions', 'files'] | map('extract', kind_node_image_component) | select('defined') | flatten | join(' ') }} /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{% if kind_node_image_component.entrypoint is defined %}
ENTRYPOINT ["{{ kind_node_image_component.entrypoint }}"]
{% endif %}
