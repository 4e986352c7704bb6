{{- define "driverlink.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Takes (dict "root" $ "component" NAME). */ -}}
{{- define "driverlink.selector" -}}
app.kubernetes.io/name: driverlink
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "driverlink.labels" -}}
{{ include "driverlink.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Text as it is, and every number without an exponent. */ -}}
{{- define "driverlink.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- /* The settings of one process, own ones over those of all; what does not connect to Kafka gets only the names there. */ -}}
{{- define "driverlink.settings" -}}
{{- $settings := dict -}}
{{- range $given := list .root.Values.settings (.own.settings | default dict) -}}
{{- range $name, $value := $given -}}
{{- if or $.facts.kafka (not (hasPrefix "DRIVERLINK_KAFKA_" $name)) (has $name (list "DRIVERLINK_KAFKA_PARTITIONS" "DRIVERLINK_KAFKA_PREFIX")) -}}
{{- $_ := set $settings $name (include "driverlink.text" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- /* The secrets of one process: the database's, Kafka's, and those that its facts name. */ -}}
{{- define "driverlink.secrets" -}}
{{- $secrets := dict -}}
{{- range $given := list .root.Values.secrets (.own.secrets | default dict) -}}
{{- range $name, $key := $given -}}
{{- $is_kafkas := hasPrefix "DRIVERLINK_KAFKA_" $name -}}
{{- $is_databases := eq $name "DRIVERLINK_DATABASE_PASSWORD_FILE" -}}
{{- if or (and $is_kafkas $.facts.kafka) (and $is_databases $.facts.database) (has $name ($.facts.secrets | default list)) -}}
{{- $_ := set $secrets $name $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end -}}

{{- /*
A container. Takes root, name, facts (of services.yaml), own (its values), and `serves` where it answers to probes.
*/ -}}
{{- define "driverlink.container" -}}
{{- $values := .root.Values -}}
{{- $secrets := include "driverlink.secrets" . | fromYaml -}}
name: {{ .name }}
{{- with $values.image }}
image: {{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.root.Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
args: {{ toJson .facts.arguments }}
env:
  {{- range $name, $value := include "driverlink.settings" . | fromYaml }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- range $name, $_ := $secrets }}
  - name: {{ $name }}
    value: /run/secrets/driverlink/{{ $name }}
  {{- end }}
  {{- if hasKey $secrets "DRIVERLINK_ADMIN_KEY_FILE" }}
  # For commands that are run in this container.
  - name: DRIVERLINK_API_URL
    value: http://localhost:{{ include "driverlink.port" . }}
  - name: DRIVERLINK_API_KEY_FILE
    value: /run/secrets/driverlink/DRIVERLINK_ADMIN_KEY_FILE
  {{- end }}
{{- if .serves }}
ports:
  - {name: http, containerPort: {{ include "driverlink.port" . }}, protocol: TCP}
# Tables that are checked, or read models that are made again, take what time they take: only what does not answer ends.
startupProbe:
  httpGet: {path: /live, port: http}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /live, port: http}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
# It answers within two seconds.
readinessProbe:
  httpGet: {path: /ready, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}
{{- if eq .name "api" }}
# Requests may come until every node knows that this pod ends.
lifecycle:
  preStop: {sleep: {seconds: {{ include "driverlink.drain" . }}}}
{{- end }}
resources: {{ toJson (.own.resources | default $values.resources) }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if $secrets }}
  - {name: {{ .name }}-secrets, mountPath: /run/secrets/driverlink, readOnly: true}
  {{- end }}
  {{- if $values.files }}
  - {name: files, mountPath: /run/files, readOnly: true}
  {{- end }}
  {{- if .facts.archives }}
  - {name: archives, mountPath: {{ $values.settings.DRIVERLINK_ARCHIVE_FOLDER | required "archiveClaim needs settings.DRIVERLINK_ARCHIVE_FOLDER" }}}
  {{- end }}
{{- end -}}

{{- define "driverlink.drain" -}}5{{- end -}}

{{- define "driverlink.port" -}}
{{- index (include "driverlink.settings" . | fromYaml) "DRIVERLINK_HTTP_PORT" | default "8080" -}}
{{- end -}}

{{- /* The volume with the secrets of one container. */ -}}
{{- define "driverlink.volume" -}}
{{- with include "driverlink.secrets" . | fromYaml }}
- name: {{ $.name }}-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := . }}
      - secret: {name: {{ $from.name }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
      {{- end }}
{{- end }}
{{- end -}}

{{- /* What every pod has besides its containers. Takes root, own, facts and the `mounts` of its containers. */ -}}
{{- define "driverlink.pod" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  runAsGroup: 10001
  runAsNonRoot: true
  runAsUser: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.own $field | default (index $values $field) }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: {{ if .facts.scratch }}{{ $values.scratchSize }}{{ else }}64Mi{{ end }}}
  {{- range .mounts }}
  {{- include "driverlink.volume" . | trim | nindent 2 }}
  {{- end }}
  {{- with .facts.archives }}
  - {name: archives, persistentVolumeClaim: {claimName: {{ . }}}}
  {{- end }}
  {{- with $values.files }}
  - name: files
    projected:
      defaultMode: 0440
      sources:
        {{- range $name, $from := . }}
        - secret: {name: {{ $from.name }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
        {{- end }}
  {{- end }}
{{- end -}}
