# /etc/sidekey/agent.hcl: what sidekey.service runs. Credentials come from systemd, files go to /run/sidekey, and
# sidekey.socket opens the local API.

vault {
  address = "http://127.0.0.1:8200"
}

auto_auth {
  method "approle" {
    config = {
      # LoadCredential= of the unit puts them there, readable by this service alone.
      role_id_file_path                   = "/run/credentials/sidekey.service/role-id"
      secret_id_file_path                 = "/run/credentials/sidekey.service/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

template {
  contents             = <<-EOT
  {{ with secret "secret/data/app" -}}
  DB_USER={{ .Data.data.username }}
  DB_PASSWORD={{ .Data.data.password | toJSON }}
  {{- end }}
  EOT
  destination          = "/run/sidekey/app.env"
  perms                = "0640"
  error_on_missing_key = true
}

cache {}

api_proxy {
  use_auto_auth_token = true
}

# The socket is systemd's: it is there before Sidekey runs, and while it restarts.
listener "unix" {
  address     = "systemd:app"
  tls_disable = true
}
