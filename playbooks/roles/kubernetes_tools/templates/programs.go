//go:build tools

// Package programs names the programs that are built, so that their requirements are resolved.
package programs

import (
{% for program in kubernetes_tools_all_programs %}
	_ "k8s.io/kubernetes/cmd/{{ program }}"
{% endfor %}
)
