{{- /* The service: what its RayService deploys, and what would not work. */ -}}

{{- define "animatic.serveName" -}}
{{- printf "%s-serve" (include "animatic.fullname" .) -}}
{{- end -}}

{{- /* The settings of the service, which the application's builder receives. What follows from other values wins over none of
     serve.config: animatic.checkServe refuses both. */ -}}
{{- define "animatic.serveSettings" -}}
{{- $serve := .Values.serve -}}
{{- $own := dict
    "source" (dict "location" $serve.exports)
    "state" (dict "folder" "/tmp/serving" "database" $serve.database "results" $serve.results)
    "http" (dict "host" "0.0.0.0" "port" 8000 "replicas" (($serve.config.http | default dict).replicas | default 2 | int64))
    "engine" (dict "gpus" (include "animatic.engineGpus" (dict "root" . "owner" $serve) | float64))
-}}
{{- if $serve.apiKeys.existingSecret -}}
{{- $_ := set $own.http "keys" "/etc/animatic/api-keys/keys" -}}
{{- end -}}
{{- with $serve.publicUrl -}}
{{- $_ := set $own.http "public_url" . -}}
{{- end -}}
{{ toYaml (mergeOverwrite (deepCopy $serve.config) $own) }}
{{- end -}}

{{- define "animatic.serveConfig" -}}
{{- /* Connections that a load balancer keeps open are closed by it, not by Serve, whose default is 5 s. Each node with a replica has
       a proxy, and so has the head, where Prometheus reads the figures of the whole service. */ -}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: 8000
  keep_alive_timeout_s: 90
applications:
  - name: animatic
    route_prefix: /
    import_path: orchestration.serving.deployment:build
    args:
      {{- include "animatic.serveSettings" . | nindent 6 }}
    {{- /* The application leaves processors to what runs beside it; here they keep replicas from the head, which has none for Ray, and let
           the autoscaler add pods. */}}
    deployments:
      - name: Api
        ray_actor_options: {num_cpus: 1}
      - name: Engine
        ray_actor_options: {num_cpus: 1, num_gpus: {{ include "animatic.engineGpus" (dict "root" . "owner" .Values.serve) }}}
{{- end -}}

{{- /* GPUs of a replica. The application is built before pods with GPUs have joined, so that it cannot find out itself.
     (dict "root" "owner") */ -}}
{{- define "animatic.engineGpus" -}}
{{- $engine := .owner.config.engine | default dict -}}
{{- if kindIs "invalid" $engine.gpus -}}
{{- ternary 1 0 (gt (include "animatic.serveGpus" . | int) 0) -}}
{{- else -}}
{{- $engine.gpus -}}
{{- end -}}
{{- end -}}

{{- /* GPUs that the groups of the service have at most: (dict "root" "owner") */ -}}
{{- define "animatic.serveGpus" -}}
{{- $gpus := 0 -}}
{{- range $name := keys .owner.groups | sortAlpha -}}
{{- $group := include "animatic.group" (dict "root" $.root "owner" $.owner "what" "serve" "name" $name) | fromYaml -}}
{{- $gpus = add $gpus (mul $group.gpus (ternary $group.maxReplicas $group.replicas $.owner.autoscaling)) -}}
{{- end -}}
{{- $gpus -}}
{{- end -}}

{{- /* (dict "root" $ "owner" .Values.serve "what" "serve") */ -}}
{{- define "animatic.checkServe" -}}
{{- include "animatic.checkCluster" . -}}
{{- $serve := .owner -}}
{{- if not $serve.exports -}}
{{- fail "serve: exports is not set: the location that `animatic export` writes to, as s3://BUCKET/exports" -}}
{{- end -}}
{{- if not $serve.database -}}
{{- fail "serve: database is not set: replicas on several nodes share the jobs in PostgreSQL, as postgresql+psycopg://USER@HOST:5432/DATABASE" -}}
{{- end -}}
{{- if not $serve.results -}}
{{- fail "serve: results is not set: the store of pictures and clips that all replicas share, as s3://BUCKET/results" -}}
{{- end -}}
{{- if and (not $serve.apiKeys.existingSecret) (not $serve.withoutKeys) -}}
{{- fail "serve: apiKeys.existingSecret is not set, and the service would answer everyone who reaches it; create the Secret from the file of `animatic api-key create NAME --keys FILE`" -}}
{{- end -}}
{{- range $field := list "exports" "database" "results" "publicUrl" -}}
{{- include "animatic.checkText" (dict "what" (printf "serve.%s" $field) "text" (index $serve $field)) -}}
{{- end -}}
{{- include "animatic.checkText" (dict "what" "serve.config" "text" (toYaml $serve.config)) -}}
{{- range $section, $fields := dict "source" (dict "location" "exports") "state" (dict "folder" "" "database" "database" "results" "results")
    "http" (dict "host" "" "port" "" "keys" "apiKeys" "public_url" "publicUrl") -}}
{{- range $key, $value := $fields -}}
{{- if hasKey (index $serve.config $section | default dict) $key -}}
{{- fail (printf "serve.config: %s.%s is set by %s" $section $key (ternary (printf "serve.%s" $value) "the chart" (ne $value ""))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $runs := printf "%s/" .root.Values.runs.mountPath -}}
{{- if not $serve.mountRuns -}}
{{- range $field := list "exports" "results" -}}
{{- if hasPrefix "/" (index $serve $field) -}}
{{- fail (printf "serve.%s: %s is a folder, which nodes share only below %s with serve.mountRuns" $field (index $serve $field) $runs) -}}
{{- end -}}
{{- end -}}
{{- if or (not .root.Values.registry) (hasPrefix "/" .root.Values.registry) -}}
{{- fail "serve: deployments are recorded in the ledger, which the service does not reach: set registry to its URL, or serve.mountRuns" -}}
{{- end -}}
{{- else -}}
{{- range $field := list "exports" "results" -}}
{{- if and (hasPrefix "/" (index $serve $field)) (not (hasPrefix $runs (index $serve $field))) -}}
{{- fail (printf "serve.%s: %s is not below %s, which all nodes mount" $field (index $serve $field) $runs) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "animatic.checkReplicas" . -}}
{{- with $serve.ingress -}}
{{- if and .enabled (not .host) -}}
{{- fail "serve.ingress: host is not set, as videos.example.com" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Replicas that no machine of the groups could run, or that are killed while they end their clips. */ -}}
{{- define "animatic.checkReplicas" -}}
{{- $engine := .owner.config.engine | default dict -}}
{{- $gpus := include "animatic.serveGpus" . | int -}}
{{- $most := int ($engine.max_replicas | default 1) -}}
{{- $needed := mulf $most (include "animatic.engineGpus" . | float64) -}}
{{- if gt $needed (float64 $gpus) -}}
{{- fail (printf "serve.config: engine.max_replicas %d needs %v GPUs, and serve.groups has %d at most" $most $needed $gpus) -}}
{{- end -}}
{{- $stop := int ($engine.stop_seconds | default 120) -}}
{{- $grace := int .root.Values.terminationGracePeriodSeconds -}}
{{- if gt (add $stop 30) $grace -}}
{{- fail (printf "terminationGracePeriodSeconds %d is too short for engine.stop_seconds %d of serve.config, which needs 30 more" $grace $stop) -}}
{{- end -}}
{{- end -}}
