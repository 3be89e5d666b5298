{{- define "speechmill.labels" -}}
app.kubernetes.io/name: speechmill
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "speechmill.selector" -}}
app.kubernetes.io/name: speechmill
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "speechmill.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "speechmill.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ .Release.Name }}-settings}
{{- end }}

{{- define "speechmill.mounts" -}}
- {name: secrets, mountPath: /run/secrets/speechmill, readOnly: true}
- {name: home, mountPath: /var/lib/speechmill}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "speechmill.volumes" -}}
- name: secrets
  secret: {secretName: {{ .root.Values.secret }}, defaultMode: 0440}
- name: home
  emptyDir: {sizeLimit: {{ .scratch }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end }}

{{- define "speechmill.probes" -}}
startupProbe:
  httpGet: {path: /health/ready, port: metrics}
  periodSeconds: 5
  failureThreshold: {{ div .startupSeconds 5 }}
livenessProbe:
  httpGet: {path: /health/live, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /health/ready, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}
