{{- /* What values.schema.json can not say: each with the value, and what to do. */ -}}
{{- define "catalog-server.validate" -}}
{{- $values := .Values -}}
{{- if and $values.postgresql.enabled $values.externalDatabase.existingSecret }}
{{- fail "postgresql.enabled = true and externalDatabase.existingSecret are both set: leave out one of the two" }}
{{- end }}
{{- if not (or $values.postgresql.enabled $values.externalDatabase.existingSecret) }}
{{- fail "externalDatabase.existingSecret is empty: name a Secret with the key database_dsn, or set postgresql.enabled=true for a trial" }}
{{- end }}
{{- if and $values.postgresql.enabled (eq $values.migrations.mode "job") }}
{{- fail "migrations.mode = job: the hook runs before the trial database is there. Set migrations.mode=replicas, or use an external database" }}
{{- end }}
{{- if and $values.sources.files $values.sources.existingConfigMap }}
{{- fail "sources.files and sources.existingConfigMap are both set: leave out one of the two" }}
{{- end }}
{{- if and $values.sources.files (not (hasKey $values.sources.files "sources.yaml")) }}
{{- fail (printf "sources.files = %s: none of them is sources.yaml, which names the others" (keys $values.sources.files | sortAlpha | join ", ")) }}
{{- end }}
{{- if and $values.auth.existingSecret (not $values.auth.enabled) }}
{{- fail "auth.existingSecret is set and auth.enabled is false: set auth.enabled=true, or leave the secret out" }}
{{- end }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas = %v: more than autoscaling.maxReplicas (%v)" $values.autoscaling.minReplicas $values.autoscaling.maxReplicas) }}
{{- end }}
{{- if and $values.ingress.enabled (empty $values.ingress.hosts) }}
{{- fail "ingress.hosts is empty: name at least one host, or set ingress.enabled=false" }}
{{- end }}
{{- if and $values.service.nodePort (eq $values.service.type "ClusterIP") }}
{{- fail (printf "service.nodePort = %v: a Service of type ClusterIP has none. Set service.type=NodePort" $values.service.nodePort) }}
{{- end }}
{{- range $name := list "database_dsn" "migrations_dsn" "auth_secret" }}
{{- if hasKey $values.settings $name }}
{{- fail (printf "settings.%s: a secret does not belong into a ConfigMap. Put it into a Secret: see externalDatabase and auth" $name) }}
{{- end }}
{{- end }}
{{- range $name := list "http_host" "http_port" "replica_name" "leadership_backend" "leadership_lease_name" "drain_seconds" "sources_file" "state_configmap" "migrations" }}
{{- if hasKey $values.settings $name }}
{{- fail (printf "settings.%s: the chart decides this one. Remove it; see the values with comments: helm show values" $name) }}
{{- end }}
{{- end }}
{{- $needed := add $values.preStopSleepSeconds $values.drainSeconds (default 20 $values.settings.shutdown_grace_seconds) }}
{{- if le (int $values.terminationGracePeriodSeconds) (int $needed) }}
{{- fail (printf "terminationGracePeriodSeconds = %v: not more than preStopSleepSeconds + drainSeconds + settings.shutdown_grace_seconds (%v), so that a pod could be killed while it finishes" $values.terminationGracePeriodSeconds $needed) }}
{{- end }}
{{- end }}
