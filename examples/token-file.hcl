# A token that somebody else put into a file: kept alive, and copied to where the application may read it.
# Good for trying things out. Once the token has reached its maximum TTL the file needs a new one.

vault {
  address = "http://127.0.0.1:8200"
}

auto_auth {
  method "token_file" {
    # How long to wait between attempts while the file is missing or its token is refused.
    min_backoff = "1s"
    max_backoff = "1m"

    config = {
      token_file_path = "/etc/sidekey/token"
    }
  }

  # Any number of sinks; one that cannot be written delays no other.
  sink "file" {
    config = {
      path = "/run/sidekey/token"
      mode = 0600
    }
  }

  sink "file" {
    config = {
      path = "/run/sidekey/token-for-group"
      mode = 0640
      # owner and group, by name or number, need the right to give files away:
      # group = "app"
    }
  }
}
