{{- define "postgresql-ha.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "postgresql-ha.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "postgresql-ha.name" .) -}}
{{- end }}

{{- define "postgresql-ha.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "postgresql-ha.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "postgresql-ha.labels" -}}
{{ include "postgresql-ha.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What Patroni finds its members and its own objects by. Nothing else may carry all three. */ -}}
{{- define "postgresql-ha.memberSelector" -}}
{{ include "postgresql-ha.selector" . }}
app.kubernetes.io/component: member
{{- end }}

{{- /* The domain of a Service, as in service.namespace.svc.cluster.local: dict "root" . "service" "a". */ -}}
{{- define "postgresql-ha.host" -}}
{{- printf "%s.%s.svc.%s" .service .root.Release.Namespace .root.Values.clusterDomain -}}
{{- end }}

{{- define "postgresql-ha.members" -}}
{{- printf "%s-members" (include "postgresql-ha.name" .) -}}
{{- end }}

{{- define "postgresql-ha.dumps" -}}
{{- printf "%s-dumps" (include "postgresql-ha.name" .) -}}
{{- end }}

{{- define "postgresql-ha.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- define "postgresql-ha.podSecurity" -}}
runAsNonRoot: true
runAsUser: 999
runAsGroup: 999
fsGroup: 999
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "postgresql-ha.passwordsSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-passwords" (include "postgresql-ha.name" .)) -}}
{{- end }}

{{- define "postgresql-ha.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "postgresql-ha.name" .)) -}}
{{- end }}

{{- /* Passwords as files, those alone that are needed: dict "root" . "name" "passwords" "keys" (list ...). */ -}}
{{- define "postgresql-ha.passwordsVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ include "postgresql-ha.passwordsSecret" .root }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{- define "postgresql-ha.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ include "postgresql-ha.tlsSecret" . }}
    # The group may read: that is how much PostgreSQL allows of a key that is root's.
    defaultMode: 0440
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
      - {key: ca.crt, path: ca.crt}
{{- end }}

{{- /* The certificate of the authority alone, for clients. */ -}}
{{- define "postgresql-ha.authorityVolume" -}}
- name: authority
  secret:
    secretName: {{ include "postgresql-ha.tlsSecret" . }}
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}

{{- /* A container that hands a volume over: dict "root" . "volume" "data" "path" "/data" "resources" (dict ...). */ -}}
{{- define "postgresql-ha.takeOwnership" -}}
- name: take-ownership
  image: {{ include "postgresql-ha.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [chown, "999:999", {{ .path }}]
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
      add: [CHOWN]
    readOnlyRootFilesystem: true
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - {name: {{ .volume }}, mountPath: {{ .path }}}
{{- end }}

{{- /* Where a pod may run, as far as all kinds of pods share it. */ -}}
{{- define "postgresql-ha.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
