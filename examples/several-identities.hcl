# Two applications on one machine, each with rights of its own, beside one agent.
#
# Each gets a unix socket only its own user can open, a file with its secrets, and a token with its policies.

vault {
  address = "http://127.0.0.1:8200"
}

auto_auth "shop" {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/sidekey/shop-role-id"
      secret_id_file_path                 = "/etc/sidekey/shop-secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

auto_auth "billing" {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/sidekey/billing-role-id"
      secret_id_file_path                 = "/etc/sidekey/billing-secret-id"
      remove_secret_id_file_after_reading = false
    }
  }

  sink "file" {
    config = {
      path = "/run/sidekey/billing-token"
      mode = "0600"
    }
  }
}

api_proxy {
  use_auto_auth_token = true
}

cache {}

listener "unix" {
  address     = "/run/sidekey/shop.sock"
  socket_mode = "0660"
  tls_disable = true
  auto_auth   = "shop"
}

listener "unix" {
  address     = "/run/sidekey/billing.sock"
  socket_mode = "0660"
  tls_disable = true
  auto_auth   = "billing"
}

template {
  contents    = "{{ with secret \"secret/data/shop\" }}{{ .Data.data.password }}{{ end }}"
  destination = "/run/sidekey/shop.env"
  auto_auth   = "shop"
}
