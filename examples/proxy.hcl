# `sidekey proxy`: no templates, a unix socket for programs of this machine and a tcp address.
#
#   sidekey check -proxy examples/proxy.hcl
#   sidekey proxy -config=examples/proxy.hcl
#   curl --unix-socket /run/sidekey/proxy.sock http://localhost/v1/secret/data/app

vault {
  address = "http://127.0.0.1:8200"

  retry {
    # Repetitions of a request that the server answered with 412, 429 or 5xx.
    num_retries = 5
  }
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

api_proxy {
  # true: requests without a token travel with ours. "force": all of them do. false: none does.
  use_auto_auth_token = true

  # Ours: anything outside /v1/ gets 404 instead of being passed on without our token.
  strict_paths = true
}

cache {}

# Who may open the socket may use our token: the file's mode is the access control.
listener "unix" {
  address     = "/run/sidekey/proxy.sock"
  socket_mode = "0660"
  tls_disable = true
}

# A tcp address cannot tell its callers apart. The header keeps out what can only send plain requests.
listener "tcp" {
  address                = "127.0.0.1:8100"
  tls_disable            = true
  require_request_header = true

  proxy_api {
    # POST /proxy/v1/quit ends the program.
    enable_quit = true
  }
}
