{{- /* What values.schema.json can not say: each with the field, its value, and what to do. */ -}}
{{- define "catalog-server.validate" -}}
{{- include "catalog-server.validateDatabase" . }}
{{- include "catalog-server.validateSources" . }}
{{- include "catalog-server.validateReplicas" . }}
{{- include "catalog-server.validateAccess" . }}
{{- include "catalog-server.validateSettings" . }}
{{- end }}

{{- define "catalog-server.validateDatabase" -}}
{{- $values := .Values }}
{{- $secret := $values.externalDatabase.existingSecret }}
{{- if and $values.postgresql.enabled $secret }}
{{- fail (printf "externalDatabase.existingSecret = %s: postgresql.enabled is true as well, and there is one database. Leave out one of the two" $secret) }}
{{- end }}
{{- if not (or $values.postgresql.enabled $secret) }}
{{- fail "externalDatabase.existingSecret is empty: there is no database. Name a Secret that holds the address of yours, or set postgresql.enabled=true for a trial" }}
{{- end }}
{{- if and $values.postgresql.enabled $values.externalDatabase.migrationsDsnKey }}
{{- fail (printf "externalDatabase.migrationsDsnKey = %s: the trial database has no pooler before it. Leave it out, or name externalDatabase.existingSecret" $values.externalDatabase.migrationsDsnKey) }}
{{- end }}
{{- if and $values.postgresql.enabled $values.externalDatabase.readDsnKey }}
{{- fail (printf "externalDatabase.readDsnKey = %s: the trial database has no replica to read from. Leave it out, or name externalDatabase.existingSecret" $values.externalDatabase.readDsnKey) }}
{{- end }}
{{- if and $values.postgresql.enabled $values.externalDatabase.caKey }}
{{- fail (printf "externalDatabase.caKey = %s: the trial database has no certificate. Leave it out, or name externalDatabase.existingSecret" $values.externalDatabase.caKey) }}
{{- end }}
{{- if and $values.postgresql.enabled (eq $values.migrations.mode "job") }}
{{- fail "migrations.mode = job: the hook runs before the trial database is there. Set migrations.mode=replicas, or name externalDatabase.existingSecret" }}
{{- end }}
{{- if and $values.postgresql.service.nodePort (eq $values.postgresql.service.type "ClusterIP") }}
{{- fail (printf "postgresql.service.nodePort = %v: a Service of type ClusterIP has none. Set postgresql.service.type=NodePort" $values.postgresql.service.nodePort) }}
{{- end }}
{{- if $secret }}
{{- include "catalog-server.validateDatabaseSecret" . }}
{{- end }}
{{- end }}

{{- /* Can be seen only where there is a cluster to look into, and the Secret is there already. */ -}}
{{- define "catalog-server.validateDatabaseSecret" -}}
{{- $external := .Values.externalDatabase }}
{{- with (lookup "v1" "Secret" .Release.Namespace $external.existingSecret).data }}
{{- $data := . }}
{{- range $field := list "dsnKey" "migrationsDsnKey" "readDsnKey" "caKey" }}
{{- $key := index $external $field }}
{{- if and $key (not (hasKey $data $key)) }}
{{- fail (printf "externalDatabase.%s = %s: the Secret %s has the keys %s. Name the one that holds it" $field $key $external.existingSecret (keys $data | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- if and (hasPrefix "sqlite:" (index $data $external.dsnKey | b64dec)) (or $.Values.autoscaling.enabled (gt (int $.Values.replicaCount) 1)) }}
{{- fail (printf "replicaCount = %v: the address in the Secret %s is a SQLite file, which serves one replica only. Use PostgreSQL, or set replicaCount=1 without autoscaling" $.Values.replicaCount $external.existingSecret) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "catalog-server.validateSources" -}}
{{- $sources := .Values.sources }}
{{- if and $sources.files $sources.existingConfigMap }}
{{- fail (printf "sources.existingConfigMap = %s: sources.files is set as well. Leave out one of the two" $sources.existingConfigMap) }}
{{- end }}
{{- if and $sources.files (not (hasKey $sources.files "sources.yaml")) }}
{{- fail (printf "sources.files = %s: none of them is sources.yaml, which names the others. Add it" (keys $sources.files | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}

{{- define "catalog-server.validateReplicas" -}}
{{- $values := .Values }}
{{- $scaling := $values.autoscaling }}
{{- if $scaling.enabled }}
{{- if eq (int $values.replicaCount) 1 }}
{{- fail "replicaCount = 1: autoscaling.enabled is true as well, and decides in its place. Leave out one of the two" }}
{{- end }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas = %v: more than autoscaling.maxReplicas (%v). Lower the first or raise the second" $scaling.minReplicas $scaling.maxReplicas) }}
{{- end }}
{{- range $resource := list "cpu" "memory" }}
{{- if not (dig "requests" $resource "" $values.resources) }}
{{- fail (printf "resources.requests.%s is not set: the autoscaler counts in percent of it. Set it, or autoscaling.enabled=false" $resource) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $values.state.enabled (ne $values.leadership.backend "kubernetes") }}
{{- fail (printf "leadership.backend = %s: the state is recorded beside a Kubernetes Lease only. Set state.enabled=false" $values.leadership.backend) }}
{{- end }}
{{- $grace := dig "shutdown_grace_seconds" 20 $values.settings }}
{{- $needed := addf $values.preStopSleepSeconds $values.drainSeconds (mulf 2 $grace) }}
{{- if le (float64 $values.terminationGracePeriodSeconds) $needed }}
{{- fail (printf "terminationGracePeriodSeconds = %v: a pod could be killed while it finishes. Set it to more than %v: preStopSleepSeconds + drainSeconds + 2 x settings.shutdown_grace_seconds (%v)" $values.terminationGracePeriodSeconds $needed $grace) }}
{{- end }}
{{- end }}

{{- define "catalog-server.validateAccess" -}}
{{- $values := .Values }}
{{- if and $values.auth.existingSecret (not $values.auth.enabled) }}
{{- fail (printf "auth.existingSecret = %s: auth.enabled is false. Set auth.enabled=true, or leave the Secret out" $values.auth.existingSecret) }}
{{- end }}
{{- if and (not $values.serviceAccount.create) (empty $values.serviceAccount.name) }}
{{- fail "serviceAccount.name is empty: serviceAccount.create is false, so it must name an account that exists" }}
{{- end }}
{{- if and $values.ingress.enabled (empty $values.ingress.hosts) }}
{{- fail "ingress.hosts is empty: name at least one host, or set ingress.enabled=false" }}
{{- end }}
{{- if and $values.service.nodePort (eq $values.service.type "ClusterIP") }}
{{- fail (printf "service.nodePort = %v: a Service of type ClusterIP has none. Set service.type=NodePort" $values.service.nodePort) }}
{{- end }}
{{- end }}

{{- define "catalog-server.validateSettings" -}}
{{- $elsewhere := dict "database_dsn" "externalDatabase.existingSecret" "migrations_dsn" "externalDatabase.migrationsDsnKey" "read_dsn" "externalDatabase.readDsnKey" "auth_secret" "auth.existingSecret" "drain_seconds" "drainSeconds" "migrations" "migrations.mode" "sources_file" "sources" "state_configmap" "state.enabled" "leadership_backend" "leadership.backend" "http_port" "service.port" }}
{{- range $name, $field := $elsewhere }}
{{- if hasKey $.Values.settings $name }}
{{- fail (printf "settings.%s: the chart sets it. Remove it, and use %s" $name $field) }}
{{- end }}
{{- end }}
{{- range $name := list "http_host" "leadership_lease_name" "leadership_namespace" "replica_name" }}
{{- if hasKey $.Values.settings $name }}
{{- fail (printf "settings.%s: the chart decides it. Remove it" $name) }}
{{- end }}
{{- end }}
{{- if and $.Values.settings.auth_reads (not $.Values.auth.enabled) }}
{{- fail "settings.auth_reads = true: auth.enabled is false, so nobody could have a token. Set auth.enabled=true, or remove it" }}
{{- end }}
{{- end }}
