# The usual configuration of an agent beside an application: AppRole in, a token file and a rendered file out,
# and a local address that needs no token.
#
#   sidekey check examples/article/agent.hcl
#   sidekey agent -config=examples/article/agent.hcl

pid_file = "/run/sidekey/agent.pid"

vault {
  # VAULT_ADDR or BAO_ADDR in the environment, or -address, beats this.
  address = "http://127.0.0.1:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/sidekey/role-id"
      secret_id_file_path = "/etc/sidekey/secret-id"

      # The default is true: the file is removed once its content was read. With false, Sidekey can start again
      # from the same file.
      remove_secret_id_file_after_reading = false
    }
  }

  # Other programs read the token here. Each new token replaces the file whole.
  sink "file" {
    config = {
      path = "/run/sidekey/token"

      # Octal digits in quotes, or the number 0640. `bao agent` takes the number only.
      mode = "0640"
    }
  }
}

# Logins, child tokens and leases asked for through the listener are remembered and renewed. Requests without
# a token travel with ours.
cache {
  use_auto_auth_token = true
}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}

template {
  contents = <<-EOT
  {{ with secret "secret/data/app" -}}
  password = {{ .Data.data.password }}
  {{- end }}
  EOT

  destination = "/run/sidekey/app.conf"
  perms       = "0640"

  # Runs when the content changed, and only then. In earnest: "systemctl reload app".
  command = "echo reload >> /run/sidekey/reloads"
}
