module catalog.invalid/kubernetes

go 1.25

require k8s.io/kubernetes {{ kubernetes_tools_kubernetes_version }}

replace (
{% for part in kubernetes_tools_parts %}
	{{ part }} => {{ part }} v0.{{ kubernetes_tools_kubernetes_version[3:] }}
{% endfor %}
)
