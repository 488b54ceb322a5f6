# A database account of our own: leased, renewed at seven tenths of its life, and replaced when it cannot be
# extended any more. The file then changes and the command runs.

vault {
  address = "http://127.0.0.1:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/sidekey/role-id"
      secret_id_file_path                 = "/etc/sidekey/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

template_config {
  # End with exit code 1 when a secret cannot be had after all retries; without it Sidekey goes on trying.
  exit_on_retry_failure = true

  # Secrets without a lease are read again this often, less about a tenth, with jitter.
  static_secret_render_interval = "5m"

  # Ours: the mode of new files whose template names no perms. Upstream, and we without this key, use 0644.
  default_perms = "0600"
}

template {
  contents = <<-EOT
  {{ with secret "database/creds/app" -}}
  # lease {{ .LeaseID }}
  username={{ .Data.username }}
  password={{ .Data.password }}
  {{- end }}
  EOT

  destination          = "/run/sidekey/database.env"
  error_on_missing_key = true

  exec {
    # A list is run as it is, without a shell.
    command = ["/bin/sh", "-c", "echo new account >> /run/sidekey/reloads"]
    timeout = "10s"
  }
}
