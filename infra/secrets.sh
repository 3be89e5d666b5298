#!/usr/bin/env bash
# Makes the secrets of infra/compose.yaml, each in a file of its own, where there are none yet. They are never printed.
# infra/secrets.sh [FOLDER]
set -euo pipefail
folder=${1:-"$(dirname "$0")/secrets"}
[ ! -e "$folder/database_url" ] || { echo "speechmill: $folder has secrets already; they stay as they are"; exit 0; }
umask 077
mkdir -p "$folder"
# Containers run as users of their own, so the files are readable by all, in a folder that only you can enter.
write() { cat >"$folder/$1"; chmod 644 "$folder/$1"; }
new() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

postgres=$(new) broker=$(new) key=$(new) secret=$(new) grafana=$(new) prefect=$(new)
printf '%s' "$postgres" | write postgres_password
printf '%s' "postgresql+psycopg://speechmill:$postgres@postgres/speechmill" | write database_url
printf '%s' "postgresql+asyncpg://speechmill:$postgres@postgres/prefect" | write prefect_database_url
printf '%s\n' "user default on >$broker ~* &* +@all" | write broker_acl
printf '%s' "$broker" | write broker_password
printf '%s' "redis://:$broker@broker:6379/0" | write broker_url
printf '%s' "speechmill:$prefect" | write prefect_login
printf '%s' "$grafana" | write grafana_password
write s3_credentials <<EOF
[default]
aws_access_key_id = $key
aws_secret_access_key = $secret
EOF
write s3_identities <<EOF
{"identities": [{"name": "speechmill", "credentials": [{"accessKey": "$key", "secretKey": "$secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
EOF
echo "speechmill: secrets are in $folder; keep a copy where you keep such things"
