{{- /* Prometheus' exporter beside a member. It speaks to it by the socket, as a role that may look and nothing else. */ -}}
{{- define "postgresql-ha.exporter" -}}
- name: exporter
  image: {{ include "postgresql-ha.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [prometheus-postgres-exporter, --extend.query-path=/scripts/queries.yaml, --disable-settings-metrics]
  securityContext:
    {{- include "postgresql-ha.containerSecurity" . | nindent 4 }}
  env:
    - name: DATA_SOURCE_URI
      value: /postgres?host=/run/postgresql&sslmode=disable&connect_timeout=5
    - name: DATA_SOURCE_USER
      value: monitoring
    - name: DATA_SOURCE_PASS_FILE
      value: /secrets/monitoring/monitoring_password
  ports:
    - {name: metrics, containerPort: 9187}
  readinessProbe:
    httpGet: {path: /, port: metrics}
    periodSeconds: 10
  resources:
    {{- toYaml .Values.metrics.resources | nindent 4 }}
  volumeMounts:
    - {name: monitoring, mountPath: /secrets/monitoring, readOnly: true}
    - {name: scripts, mountPath: /scripts, readOnly: true}
    - {name: socket, mountPath: /run/postgresql}
{{- end }}
