# A program that gets its secrets in its environment, and a certificate in a file, and is restarted when they change.
#
# Run the agent in the place of the program: it ends as the program ends, with the same code.

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

env_template "DB_USER" {
  contents             = "{{ with secret \"secret/data/app\" }}{{ .Data.data.username }}{{ end }}"
  error_on_missing_key = true
}

env_template "DB_PASSWORD" {
  contents             = "{{ with secret \"secret/data/app\" }}{{ .Data.data.password }}{{ end }}"
  error_on_missing_key = true
}

template {
  contents    = "color = {{ with secret \"secret/data/app\" }}{{ .Data.data.color }}{{ end }}\n"
  destination = "/run/sidekey/app.conf"
  perms       = "0600"
}

exec {
  command         = ["/usr/local/bin/app", "--port=8080"]
  stop_timeout    = "25s"       # Kubernetes kills after 30
  forward_signals = ["SIGUSR2"] # the program opens its log anew
}
