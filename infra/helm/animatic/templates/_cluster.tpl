{{- /* The spec of a RayCluster: (dict "root" $ "owner" job, cluster or service "what" its path in values "job" the ConfigMap of a job, or "none").
     Of the service: `owner` has isService, and `job` is not set. */ -}}

{{- define "animatic.cluster" -}}
{{- $values := .root.Values -}}
rayVersion: {{ $values.rayVersion | quote }}
authOptions:
  mode: {{ $values.auth.mode }}
  {{- with $values.auth.existingSecret }}
  secretName: {{ . }}
  {{- end }}
{{- with $values.gcsFaultTolerance }}
{{- if .enabled }}
gcsFaultToleranceOptions:
  redisAddress: {{ .redisAddress | quote }}
  {{- if .existingSecret }}
  {{- if .usernameKey }}
  redisUsername:
    valueFrom:
      secretKeyRef: {name: {{ .existingSecret }}, key: {{ .usernameKey }}}
  {{- end }}
  redisPassword:
    valueFrom:
      secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}
  {{- end }}
{{- end }}
{{- end }}
{{- if .owner.autoscaling }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ int64 $values.autoscaler.idleTimeoutSeconds }}
  upscalingMode: {{ $values.autoscaler.upscalingMode }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  env:
    - {name: HOME, value: /tmp}
  resources:
    {{- $sidecar := dict "cpu" (include "animatic.text" $values.autoscaler.cpu) "memory" $values.autoscaler.memory }}
    {{- toYaml (dict "limits" $sidecar "requests" $sidecar) | nindent 4 }}
  securityContext:
    {{- include "animatic.containerSecurity" dict | nindent 4 }}
  volumeMounts:
    - {name: scratch, mountPath: /tmp}
{{- end }}
headGroupSpec:
  {{- include "animatic.head" . | nindent 2 }}
workerGroupSpecs:
  {{- range $name := keys .owner.groups | sortAlpha }}
  {{- $group := include "animatic.group" (dict "root" $.root "owner" $.owner "what" $.what "name" $name) | fromYaml }}
  - groupName: {{ $name }}
    {{- include "animatic.workers" (dict "root" $.root "owner" $.owner "name" $name "group" $group) | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "animatic.head" -}}
{{- $values := .root.Values -}}
{{- $head := $values.head -}}
{{- $grace := int $values.terminationGracePeriodSeconds -}}
{{- include "animatic.checkMemory" (dict "pod" $head "what" "head") -}}
rayStartParams:
  num-cpus: "0"
  object-store-memory: {{ include "animatic.bytes" $head.objectStoreMemory | quote }}
template:
  metadata:
    labels:
      {{- include "animatic.selector" .root | nindent 6 }}
      app.kubernetes.io/component: ray-head
      {{- with include "animatic.serviceLabel" .owner }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $head.labels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    annotations:
      {{- include "animatic.podAnnotations" $head.annotations | nindent 6 }}
  spec:
    serviceAccountName: {{ include "animatic.serviceAccountName" .root }}
    enableServiceLinks: false
    # The autoscaler calls the API server; nothing else does.
    automountServiceAccountToken: {{ .owner.autoscaling }}
    terminationGracePeriodSeconds: {{ $grace }}
    securityContext:
      {{- include "animatic.podSecurity" .root | nindent 6 }}
    {{- with include "animatic.pullSecrets" .root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "animatic.scheduling" (dict "pod" $head "market" $values.onDemand) | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $head.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - name: ray-head
        image: {{ include "animatic.rayImage" . }}
        imagePullPolicy: {{ $values.image.pullPolicy }}
        ports:
          - {name: gcs-server, containerPort: 6379}
          - {name: dashboard, containerPort: 8265}
          - {name: metrics, containerPort: 8080}
          - {name: as-metrics, containerPort: 44217}
          - {name: dash-metrics, containerPort: 44227}
          {{- if .owner.isService }}
          - {name: serve, containerPort: 8000}
          {{- else }}
          - {name: driver-metrics, containerPort: {{ int64 $values.driverMetricsPort }}}
          {{- end }}
        {{- $own := dict }}
        {{- if not .owner.isService }}
        # Jobs are asked to stop, and write a checkpoint, before Ray itself is.
        lifecycle:
          preStop:
            exec:
              command: [python, /etc/animatic/stop_jobs.py, {{ sub $grace 30 | toString | quote }}]
        {{- $own = dict "RAY_JOB_STOP_WAIT_TIME_S" (sub $grace 30) }}
        {{- end }}
        {{- include "animatic.environment" (dict "root" .root "owner" .owner "own" $own "drain" 10) | nindent 8 }}
        resources:
          {{- include "animatic.resources" $head | nindent 10 }}
        securityContext:
          {{- include "animatic.containerSecurity" dict | nindent 10 }}
        volumeMounts:
          {{- include "animatic.volumeMounts" . | nindent 10 }}
    volumes:
      {{- include "animatic.volumes" (dict "root" .root "owner" .owner "pod" $head "job" .job) | nindent 6 }}
{{- end -}}

{{- define "animatic.workers" -}}
{{- $values := .root.Values -}}
{{- $group := .group -}}
{{- $grace := int $values.terminationGracePeriodSeconds -}}
{{- if .owner.autoscaling }}
# The number in between is the autoscaler's: an upgrade of the release must not change it.
minReplicas: {{ int64 $group.minReplicas }}
maxReplicas: {{ int64 $group.maxReplicas }}
{{- else }}
{{- range list "replicas" "minReplicas" "maxReplicas" }}
{{ . }}: {{ int64 $group.replicas }}
{{- end }}
{{- end }}
rayStartParams:
  object-store-memory: {{ include "animatic.bytes" $group.objectStoreMemory | quote }}
template:
  metadata:
    labels:
      {{- include "animatic.selector" .root | nindent 6 }}
      app.kubernetes.io/component: ray-worker
      {{- with include "animatic.serviceLabel" .owner }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $group.labels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with include "animatic.workerAnnotations" . | trim }}
    annotations:
      {{- . | nindent 6 }}
    {{- end }}
  spec:
    serviceAccountName: {{ include "animatic.serviceAccountName" .root }}
    enableServiceLinks: false
    automountServiceAccountToken: false
    terminationGracePeriodSeconds: {{ $grace }}
    {{- with $group.runtimeClassName }}
    runtimeClassName: {{ . }}
    {{- end }}
    securityContext:
      {{- include "animatic.podSecurity" .root | nindent 6 }}
    {{- with include "animatic.pullSecrets" .root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "animatic.scheduling" (dict "pod" $group "market" (ternary $values.spot $values.onDemand $group.spot)) | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "animatic.placement" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    containers:
      - name: ray-worker
        image: {{ include "animatic.rayImage" . }}
        imagePullPolicy: {{ $values.image.pullPolicy }}
        ports:
          - {name: metrics, containerPort: 8080}
          {{- if .owner.isService }}
          - {name: serve, containerPort: 8000}
          {{- end }}
        {{- include "animatic.environment" (dict "root" .root "owner" .owner "own" $group.env "drain" (sub $grace 15)) | nindent 8 }}
        resources:
          {{- include "animatic.resources" $group | nindent 10 }}
        securityContext:
          {{- include "animatic.containerSecurity" $group | nindent 10 }}
        volumeMounts:
          {{- include "animatic.volumeMounts" (dict "root" .root "owner" .owner) | nindent 10 }}
    volumes:
      {{- include "animatic.volumes" (dict "root" .root "owner" .owner "pod" $group) | nindent 6 }}
{{- end -}}

{{- /* Affinity of workers. With topologyKey, all pods of one Ray cluster run within one domain; otherwise those without
     GPUs spread over machines, and all of the service over machines and zones. */ -}}
{{- define "animatic.placement" -}}
{{- $affinity := deepCopy .group.affinity -}}
{{- if .group.topologyKey -}}
{{- $term := dict
    "topologyKey" .group.topologyKey
    "labelSelector" (dict "matchLabels" (dict "app.kubernetes.io/component" "ray-worker"))
    "matchLabelKeys" (list "ray.io/cluster")
-}}
{{- $pods := dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- $affinity = mergeOverwrite $pods $affinity -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and (or .owner.isService (not .group.gpus)) (not .group.topologyKey) }}
topologySpreadConstraints:
  {{- if .owner.isService }}
  - topologyKey: topology.kubernetes.io/zone
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app.kubernetes.io/component: ray-worker}
    matchLabelKeys: [ray.io/cluster]
  {{- end }}
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app.kubernetes.io/component: ray-worker}
    matchLabelKeys: [ray.io/cluster]
{{- end }}
{{- end -}}
