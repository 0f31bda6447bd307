{{- define "catalog-server.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "catalog-server.postgresql" -}}
{{- printf "%s-postgresql" (include "catalog-server.name" .) -}}
{{- end }}

{{- define "catalog-server.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "catalog-server.name" .) -}}
{{- end }}

{{- define "catalog-server.state" -}}
{{- printf "%s-state" (include "catalog-server.name" .) -}}
{{- end }}

{{- define "catalog-server.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "catalog-server.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "catalog-server.labels" -}}
{{ include "catalog-server.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "catalog-server.sourcesConfigMap" -}}
{{- .Values.sources.existingConfigMap | default (ternary (printf "%s-sources" (include "catalog-server.name" .)) "" (not (empty .Values.sources.files))) -}}
{{- end }}

{{- /* The fewest replicas that the release runs with. */ -}}
{{- define "catalog-server.leastReplicas" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled -}}
{{- end }}

{{- /* The settings of the server: what the chart decides, and what the values say on top. */ -}}
{{- define "catalog-server.settings" -}}
{{- $own := dict "http_host" "0.0.0.0" "http_port" 8080 "leadership_backend" .Values.leadership.backend "leadership_lease_name" (include "catalog-server.name" .) "drain_seconds" .Values.drainSeconds -}}
{{- if include "catalog-server.sourcesConfigMap" . }}{{ $_ := set $own "sources_file" "/etc/catalog-server/sources/sources.yaml" }}{{ end -}}
{{- if .Values.state.enabled }}{{ $_ := set $own "state_configmap" (include "catalog-server.state" .) }}{{ end -}}
{{- if eq .Values.migrations.mode "job" }}{{ $_ := set $own "migrations" "wait" }}{{ end -}}
{{- merge (deepCopy .Values.settings) $own | toYaml -}}
{{- end }}

{{- define "catalog-server.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- /* For a pod of the user and group with this id. */ -}}
{{- define "catalog-server.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* Where the token secret comes from. */ -}}
{{- define "catalog-server.authVolume" -}}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret | default (include "catalog-server.name" .) }}
    defaultMode: 0440
    items:
      - {key: auth_secret, path: auth_secret}
{{- end }}

{{- /* Where the database's address comes from. */ -}}
{{- define "catalog-server.databaseSecret" -}}
{{- .Values.externalDatabase.existingSecret | default (include "catalog-server.name" .) -}}
{{- end }}

{{- define "catalog-server.dsnKey" -}}
{{- ternary .Values.externalDatabase.dsnKey "database_dsn" (not (empty .Values.externalDatabase.existingSecret)) -}}
{{- end }}

{{- define "catalog-server.databaseEnv" -}}
- name: CATALOG_DATABASE_DSN_FILE
  value: /etc/catalog-server/database/database_dsn
{{- if .Values.externalDatabase.migrationsDsnKey }}
- name: CATALOG_MIGRATIONS_DSN_FILE
  value: /etc/catalog-server/database/migrations_dsn
{{- end }}
{{- if .Values.externalDatabase.readDsnKey }}
- name: CATALOG_READ_DSN_FILE
  value: /etc/catalog-server/database/read_dsn
{{- end }}
{{- end }}

{{- define "catalog-server.databaseVolume" -}}
- name: database
  secret:
    secretName: {{ include "catalog-server.databaseSecret" . }}
    defaultMode: 0440
    items:
      - {key: {{ include "catalog-server.dsnKey" . }}, path: database_dsn}
{{- with .Values.externalDatabase.migrationsDsnKey }}
      - {key: {{ . }}, path: migrations_dsn}
{{- end }}
{{- with .Values.externalDatabase.readDsnKey }}
      - {key: {{ . }}, path: read_dsn}
{{- end }}
{{- with .Values.externalDatabase.caKey }}
      - {key: {{ . }}, path: ca.crt}
{{- end }}
{{- end }}
