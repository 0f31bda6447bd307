{{- /* The spec of a job that takes a dump; with other arguments it restores one. */ -}}
{{- define "postgresql-ha.dumpJob" -}}
{{- $name := include "postgresql-ha.dumps" . -}}
{{- $primary := include "postgresql-ha.host" (dict "root" . "service" (include "postgresql-ha.name" .)) -}}
{{- $replicas := include "postgresql-ha.host" (dict "root" . "service" (printf "%s-replicas" (include "postgresql-ha.name" .))) -}}
backoffLimit: 2
activeDeadlineSeconds: {{ .Values.dumps.deadlineSeconds }}
template:
  metadata:
    labels:
      {{- include "postgresql-ha.selector" . | nindent 6 }}
      app.kubernetes.io/component: dumps
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- include "postgresql-ha.placement" . | nindent 4 }}
    securityContext:
      {{- include "postgresql-ha.podSecurity" . | nindent 6 }}
    {{- with .Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if .Values.persistence.takeOwnership }}
    initContainers:
      {{- include "postgresql-ha.takeOwnership" (dict "root" . "volume" "dumps" "path" "/dumps" "resources" .Values.dumps.resources) | nindent 6 }}
    {{- end }}
    containers:
      - name: dump
        image: {{ include "postgresql-ha.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [python3, /scripts/dump.py]
        args: [take, {{ .Values.dumps.keep | quote }}]
        securityContext:
          {{- include "postgresql-ha.containerSecurity" . | nindent 10 }}
        env:
          - name: PGHOST
            value: {{ ternary (printf "%s,%s" $replicas $primary) $primary (gt (int .Values.replicaCount) 1) }}
          - name: PGDATABASE
            value: {{ .Values.database.name }}
          - name: PGUSER
            value: {{ .Values.database.owner }}
          - name: PGCONNECT_TIMEOUT
            value: "5"
          {{- if .Values.tls.enabled }}
          - name: PGSSLMODE
            value: verify-full
          - name: PGSSLROOTCERT
            value: /secrets/tls/ca.crt
          {{- end }}
        resources:
          {{- toYaml .Values.dumps.resources | nindent 10 }}
        volumeMounts:
          - {name: dumps, mountPath: /dumps}
          - {name: scripts, mountPath: /scripts, readOnly: true}
          - {name: passwords, mountPath: /secrets/passwords, readOnly: true}
          {{- if .Values.tls.enabled }}
          - {name: authority, mountPath: /secrets/tls, readOnly: true}
          {{- end }}
    volumes:
      - name: dumps
        persistentVolumeClaim:
          claimName: {{ $name }}
      - name: scripts
        configMap:
          name: {{ $name }}
      {{- include "postgresql-ha.passwordsVolume" (dict "root" . "name" "passwords" "keys" (list "owner_password")) | nindent 6 }}
      {{- if .Values.tls.enabled }}
      {{- include "postgresql-ha.authorityVolume" . | nindent 6 }}
      {{- end }}
{{- end }}
