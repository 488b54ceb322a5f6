#!/usr/bin/env python3
"""Records which agent and proxy configurations a real `bao` binary accepts.

Usage: generate.py PATH_TO_BAO

Writes cases.jsonl beside this script, one JSON object per line:
  name, group  identify the case
  mode         "agent" or "proxy"
  files        file name -> whole text, in the order in which they are loaded
  environment  optional: variables set for the run
  accepted     whether `bao MODE -config=... -test-verify-only` ends with 0
  bao          bao's message when it refused

`-test-verify-only` loads, merges and validates; it does not create methods,
sinks, listeners or templates, so what is refused only at start is accepted
here. A message that starts with "panic:" means that bao crashed. Nothing
outside a temporary folder and this folder is written.
"""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
METHOD = ' method "token_file" { config = { token_file_path = "/t" } }\n'
SINK = ' sink "file" { config = { path = "/s" } }\n'
AUTH = "auto_auth {\n" + METHOD + SINK + "}\n"
AUTH_NO_SINK = "auto_auth {\n" + METHOD + "}\n"
AUTH_WRAPPED = 'auto_auth {\n method "token_file" { wrap_ttl = "5m" config = { token_file_path = "/t" } }\n' + SINK + "}\n"
LISTENER = 'listener "tcp" {\n address = "127.0.0.1:8100"\n tls_disable = true\n}\n'
TEMPLATE = 'template {\n contents = "a"\n destination = "/d"\n}\n'
ENV = 'env_template "A" {\n contents = "a"\n}\n'
EXEC = 'exec {\n command = ["/bin/true"]\n}\n'

JSON_AUTH = {"method": {"type": "token_file", "config": {"token_file_path": "/t"}}, "sinks": [{"sink": {"type": "file", "config": {"path": "/s"}}}]}
CASES = []


def c(group, name, text, mode="agent", environment=None):
    files = text if isinstance(text, dict) else {"a.hcl": text}
    CASES.append((group, name, mode, files, environment))


def both(group, name, text, environment=None):
    c(group, name + "_agent", text, "agent", environment)
    c(group, name + "_proxy", text, "proxy", environment)


def top(group, name, line):
    """One line beside a valid auto_auth."""
    c(group, name, AUTH + line + "\n")


def inside(group, stanza, items):
    for line in items:
        c(group, line, stanza % line)


def j(group, name, value, mode="agent"):
    text = value if isinstance(value, str) else json.dumps(value)
    c(group, name, {"a.json": text}, mode)


# Validation of the whole configuration.
both("validation", "empty_file", "")
both("validation", "only_comment", "# nothing\n")
both("validation", "only_vault", 'vault { address = "http://127.0.0.1:8200" }\n')
both("validation", "only_auto_auth", AUTH)
both("validation", "only_method", AUTH_NO_SINK)
both("validation", "only_cache", "cache {}\n")
both("validation", "only_listener", LISTENER)
both("validation", "only_template", TEMPLATE)
both("validation", "only_api_proxy", "api_proxy {}\n")
both("validation", "cache_and_listener", "cache {}\n" + LISTENER)
both("validation", "cache_and_template", AUTH_NO_SINK + "cache {}\n" + TEMPLATE)
both("validation", "cache_template_no_auto_auth", "cache {}\n" + TEMPLATE)
both("validation", "cache_and_env_template", AUTH_NO_SINK + "cache {}\n" + ENV + EXEC)
both("validation", "cache_auto_auth_no_listener", AUTH + "cache {}\n")
both("validation", "api_proxy_no_listener", AUTH + "api_proxy {}\n")
both("validation", "api_proxy_listener", AUTH + "api_proxy {}\n" + LISTENER)
both("validation", "api_proxy_use_token_no_auto_auth", "api_proxy { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "api_proxy_force_no_auto_auth", 'api_proxy { use_auto_auth_token = "force" }\n' + LISTENER)
both("validation", "api_proxy_false_no_auto_auth", "api_proxy { use_auto_auth_token = false }\n" + LISTENER)
both("validation", "api_proxy_use_token_method_only", AUTH_NO_SINK + "api_proxy { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "api_proxy_false_method_only", AUTH_NO_SINK + "api_proxy { use_auto_auth_token = false }\n" + LISTENER)
both("validation", "api_proxy_use_token_wrapped_method", AUTH_WRAPPED + "api_proxy { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "api_proxy_force_wrapped_method", AUTH_WRAPPED + 'api_proxy { use_auto_auth_token = "force" }\n' + LISTENER)
both("validation", "cache_use_token_no_auto_auth", "cache { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "cache_force_no_auto_auth", 'cache { use_auto_auth_token = "force" }\n' + LISTENER)
both("validation", "cache_use_token", AUTH + "cache { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "cache_use_token_method_only", AUTH_NO_SINK + "cache { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "cache_use_token_template_only", AUTH_NO_SINK + "cache { use_auto_auth_token = true }\n" + TEMPLATE)
both("validation", "cache_use_token_wrapped_method", AUTH_WRAPPED + "cache { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "cache_wrapped_method_plain", AUTH_WRAPPED + "cache {}\n" + LISTENER)
both("validation", "both_use_token", AUTH + "cache { use_auto_auth_token = true }\napi_proxy { use_auto_auth_token = true }\n" + LISTENER)
both("validation", "both_use_token_false", AUTH + "cache { use_auto_auth_token = false }\napi_proxy { use_auto_auth_token = false }\n" + LISTENER)
both("validation", "cache_use_token_and_empty_api_proxy", AUTH + "cache { use_auto_auth_token = true }\napi_proxy {}\n" + LISTENER)
both("validation", "cache_use_token_empty_api_proxy_method_only", AUTH_NO_SINK + "cache { use_auto_auth_token = true }\napi_proxy {}\n" + LISTENER)
both("validation", "method_and_template", AUTH_NO_SINK + TEMPLATE)
both("validation", "method_and_env_template", AUTH_NO_SINK + ENV + EXEC)
both("validation", "method_listener", AUTH_NO_SINK + LISTENER)
both("validation", "method_listener_cache", AUTH_NO_SINK + LISTENER + "cache {}\n")
both("validation", "several_faults_first_wins", "cache {}\napi_proxy { use_auto_auth_token = true }\n")
both("validation", "template_without_destination", AUTH_NO_SINK + 'template { contents = "a" }\n')
both("validation", "template_contents_and_source", AUTH_NO_SINK + 'template { contents = "a" source = "/a" destination = "/d" }\n')
both("validation", "cert_and_cache_warning", 'auto_auth {\n method "cert" {}\n' + SINK + "}\ncache {}\n" + LISTENER)
both("validation", "listener_metrics_only", AUTH_NO_SINK + 'listener "tcp" { address = "127.0.0.1:1" role = "metrics_only" tls_disable = true }\n')

# exec and env_template.
for name, text in [
    ("ok", ENV + EXEC), ("env_template_without_exec", ENV), ("exec_without_env_template", EXEC), ("two_env_templates", ENV + 'env_template "B" { contents = "b" }\n' + EXEC),
    ("with_api_proxy", ENV + EXEC + "api_proxy {}\n" + LISTENER), ("with_implicit_api_proxy", ENV + EXEC + "cache { use_auto_auth_token = true }\n" + LISTENER),
    ("with_template", ENV + EXEC + TEMPLATE), ("with_listener", ENV + EXEC + LISTENER), ("with_listener_and_cache", ENV + EXEC + LISTENER + "cache {}\n"),
    ("duplicate_name", ENV + ENV + EXEC), ("names_differ_in_case", ENV + 'env_template "a" { contents = "b" }\n' + EXEC),
    ("bare_name", 'env_template A { contents = "a" }\n' + EXEC), ("no_name", 'env_template { contents = "a" }\n' + EXEC), ("empty_name", 'env_template "" { contents = "a" }\n' + EXEC),
    ("two_names", 'env_template "A" "B" { contents = "a" }\n' + EXEC), ("name_with_equals", 'env_template "A=B" { contents = "a" }\n' + EXEC), ("name_with_space", 'env_template "A B" { contents = "a" }\n' + EXEC),
    ("assigned", 'env_template = { contents = "a" }\n' + EXEC), ("no_contents", 'env_template "A" { }\n' + EXEC), ("empty_contents", 'env_template "A" { contents = "" }\n' + EXEC),
    ("contents_and_source", 'env_template "A" { contents = "a" source = "/a" }\n' + EXEC), ("source", 'env_template "A" { source = "/a" }\n' + EXEC),
    ("exec_empty", ENV + "exec {}\n"), ("exec_empty_command", ENV + "exec { command = [] }\n"), ("exec_command_empty_string", ENV + 'exec { command = [""] }\n'),
    ("exec_command_string", ENV + 'exec { command = "/bin/true" }\n'), ("exec_command_numbers", ENV + 'exec { command = ["sleep", 5] }\n'), ("exec_command_bool", ENV + 'exec { command = ["sleep", true] }\n'),
    ("exec_two", ENV + EXEC + EXEC), ("exec_labelled", ENV + 'exec "a" { command = ["/bin/true"] }\n'), ("exec_assigned", ENV + 'exec = { command = ["/bin/true"] }\n'),
    ("exec_unknown_key", ENV + 'exec { command = ["/bin/true"] foo = 1 }\n'), ("exec_case", ENV + 'EXEC { Command = ["/bin/true"] }\n'),
] + [("exec_" + x, ENV + 'exec { command = ["/bin/true"] %s }\n' % x) for x in [
    'restart_on_secret_changes = "always"', 'restart_on_secret_changes = "never"', 'restart_on_secret_changes = "sometimes"', 'restart_on_secret_changes = ""', 'restart_on_secret_changes = "Always"', "restart_on_secret_changes = true",
    'restart_stop_signal = "SIGTERM"', 'restart_stop_signal = "sigint"', 'restart_stop_signal = "INT"', 'restart_stop_signal = "SIGFOO"', 'restart_stop_signal = "SIGNULL"', 'restart_stop_signal = ""', "restart_stop_signal = 15",
    'child_process_stdout = "/a"', 'child_process_stderr = "/a"', 'env { pristine = true }', 'timeout = "1s"', "enabled = true", 'kill_timeout = "5s"', 'reload_signal = "SIGHUP"', 'splay = "1s"']] \
        + [("env_template_" + x, 'env_template "A" { contents = "a" %s }\n' % x + EXEC) for x in [
            "backup = true", 'command = "a"', 'command = ["a"]', 'command_timeout = "1s"', "create_dest_dirs = true", 'destination = "/d"', 'exec { command = ["a"] }', 'perms = "0600"', "perms = 0600", 'user = "a"', "uid = 1", 'group = "a"', "gid = 1",
            'wait { min = "1s" max = "2s" }', 'wait = "1s:2s"', "wait { min = 1 max = 2 }", 'sandbox_path = "/a"', "error_on_missing_key = true", "error_fatal = true", 'error_on_missing_key = "true"', 'left_delimiter = "<<"', 'function_denylist = ["a"]', "foo = 1", "backup = false", 'destination = ""', "contents = 1"]]:
    c("exec", name, AUTH_NO_SINK + text)
c("exec", "no_auto_auth", ENV + EXEC)
c("exec", "with_file_sink", AUTH + ENV + EXEC)
c("exec", "in_proxy_mode", AUTH + ENV + EXEC, "proxy")
c("exec", "exec_only_in_proxy_mode", AUTH + EXEC, "proxy")

# Top-level keys.
for line in [
    "exit_after_auth = true", "exit_after_auth = false", 'exit_after_auth = "true"', "exit_after_auth = 1", 'exit_after_auth = ""', "exit_after_auth = []", "EXIT_AFTER_AUTH = true", "exit_after_auth = true\nexit_after_auth = 1",
    'pid_file = "/p"', "pid_file = 5", "pid_file = true", "pid_file = 1.5", 'pid_file = ["/p"]', "pid_file { a = 1 }", 'pid_file = "/a"\npid_file = "/b"', "pid_file =", 'Pid_File = "/p"',
    'log_level = "info"', 'log_level = " Debug "', 'log_level = "ERR"', 'log_level = "error"', 'log_level = "notice"', 'log_level = "warning"', 'log_level = "warn"', 'log_level = "trace"', 'log_level = "fatal"', 'log_level = "off"', 'log_level = ""', "log_level = 5",
    'log_format = "json"', 'log_format = "STANDARD"', 'log_format = "xml"', 'log_format = ""', 'log_format = " json "', 'log_file = "/l"', "log_file = true",
    'log_rotate_duration = "1h"', 'log_rotate_duration = "1d"', "log_rotate_duration = 5", 'log_rotate_duration = "5"', 'log_rotate_duration = "foo"', 'log_rotate_duration = ""', 'log_rotate_duration = "-1h"', 'log_rotate_duration = "1d2h"', 'log_rotate_duration = "1.5h"', "log_rotate_duration = 1.5",
    'log_rotate_bytes = "100"', "log_rotate_bytes = 100", "log_rotate_bytes = 0x10", "log_rotate_bytes = 0640", "log_rotate_bytes = -1", 'log_rotate_bytes = "abc"', "log_rotate_bytes = 1.5", "log_rotate_bytes = true", 'log_rotate_bytes = ""', 'log_rotate_bytes = "0x10"', "log_rotate_bytes = 08", "log_rotate_bytes = 9223372036854775808", 'log_rotate_bytes = "1k"', "log_rotate_bytes = [1]",
    "log_rotate_max_files = 3", "log_rotate_max_files = -1", 'log_rotate_max_files = "x"', 'log_rotate_max_files = "3"',
    'disable_idle_connections = ["auto-auth"]', 'disable_idle_connections = ["caching", "proxying", "templating"]', 'disable_idle_connections = []', 'disable_idle_connections = [""]', 'disable_idle_connections = ["foo"]', 'disable_idle_connections = ["Caching"]', 'disable_idle_connections = "caching"', "disable_idle_connections = [1]", "disable_idle_connections = true", 'disable_idle_connections = ["foo", "caching"]', 'disable_idle_connections = [" caching"]',
    'disable_keep_alives = ["auto-auth"]', 'disable_keep_alives = ["caching", "proxying", "templating"]', 'disable_keep_alives = [""]', 'disable_keep_alives = ["foo"]', 'disable_keep_alives = "caching"',
    'cluster_name = "a"', "cluster_name = 1", "disable_mlock = true", "disable_mlock = false", 'disable_mlock = "true"', 'disable_mlock = "false"', "disable_mlock = 1", "disable_mlock = 0", 'disable_mlock = "yes"',
    'default_max_request_duration = "5s"', "default_max_request_duration = 5", 'default_max_request_duration = "x"', 'user_lockout "all" { lockout_threshold = 5 }', 'user_lockout "all" { lockout_threshold = "x" }', 'user_lockout { }', 'seal "shamir" {}', 'seal "nosuch" {}', "seal {}", 'seal "transit" { address = "a" }', 'storage "file" { path = "/a" }', 'storage "a" {}\nstorage "b" {}', 'hsm "a" {}', 'kms "a" {}', 'ha_storage "a" {}',
    "ui = true", 'ui = "x"', 'api_addr = "http://a"', "foo = 1", 'foo { bar = "a" }', 'foo "a" "b" {}', "foo = [1, 2]", 'plugin_directory = "/a"', 'max_lease_ttl = "x"', "raw_storage_endpoint = 5", 'templates = []', 'templates { contents = "a" destination = "/d" }', 'sinks {}', 'method "a" {}', 'sink "file" {}',
]:
    top("top_level", line, line)
for line in ['disable_idle_connections = ["templating"]', 'disable_keep_alives = ["templating"]', 'disable_idle_connections = ["proxying"]', 'disable_keep_alives = ["foo"]', 'disable_idle_connections = ["auto-auth", "caching"]', "exit_after_auth = true", 'exit_after_auth = "true"', "disable_mlock = false", 'template { foo = 1 }', 'template_config { exit_on_retry_failure = "x" }', 'exec { command = "x" }', 'env_template { }', 'log_level = "fatal"']:
    c("top_level", "proxy " + line, AUTH + line + "\n", "proxy")
for variable, value in [("BAO_AGENT_DISABLE_IDLE_CONNECTIONS", "Caching, auto-auth"), ("BAO_AGENT_DISABLE_IDLE_CONNECTIONS", "foo"), ("VAULT_AGENT_DISABLE_IDLE_CONNECTIONS", "foo"), ("BAO_AGENT_DISABLE_KEEP_ALIVES", "foo"), ("VAULT_AGENT_DISABLE_KEEP_ALIVES", "proxying"), ("BAO_AGENT_DISABLE_KEEP_ALIVES", ""), ("BAO_PROXY_DISABLE_KEEP_ALIVES", "foo")]:
    c("environment", "%s=%s" % (variable, value), AUTH, "agent", {variable: value})
c("environment", "idle_replaces_bad_value_of_the_file", AUTH + 'disable_idle_connections = ["foo"]\n', "agent", {"BAO_AGENT_DISABLE_IDLE_CONNECTIONS": "caching"})
for variable, value in [("BAO_PROXY_DISABLE_IDLE_CONNECTIONS", "foo"), ("VAULT_PROXY_DISABLE_KEEP_ALIVES", "foo"), ("BAO_PROXY_DISABLE_IDLE_CONNECTIONS", "templating"), ("BAO_AGENT_DISABLE_IDLE_CONNECTIONS", "foo")]:
    c("environment", "proxy %s=%s" % (variable, value), AUTH, "proxy", {variable: value})

# vault
inside("vault", AUTH + "vault {\n %s\n}\n", [
    'address = "http://a:8200"', 'address = "unix:///a"', 'address = ""', "address = 5", "address = true", 'address = "::bad::"', '"address" = "http://a"', 'ADDRESS = "http://a"', 'ca_cert = "/a"', 'ca_path = "/a"', 'client_cert = "/a"', 'client_key = "/a"', 'client_cert = "/a"\n client_key = "/b"',
    "tls_skip_verify = true", 'tls_skip_verify = "true"', 'tls_skip_verify = "T"', 'tls_skip_verify = "f"', "tls_skip_verify = 1", "tls_skip_verify = 2", "tls_skip_verify = 0", 'tls_skip_verify = "yes"', 'tls_skip_verify = ""', 'tls_skip_verify = "1"', 'tls_skip_verify = "on"', "tls_skip_verify = 1.5", "tls_skip_verify = []", 'tls_skip_verify = "TrUe"', 'tls_skip_verify = "2"', "tls_skip_verify = -1", 'tls_server_name = "a"', 'namespace = "a"', "foo = 1", "foo { a = 1 }",
    "retry {}", "retry { num_retries = 5 }", 'retry { num_retries = "5" }', "retry { num_retries = 0 }", "retry { num_retries = -1 }", "retry { num_retries = -5 }", 'retry { num_retries = "x" }', "retry { num_retries = 1.5 }", "retry { num_retries = true }", "retry {}\n retry {}", "retry = { num_retries = 1 }", "retry { foo = 1 }", "retry = 5", "retry = []", 'retry "a" { num_retries = 1 }', 'num_retries = 5',
])
for name, text in [("two", "vault {}\nvault {}\n"), ("label", 'vault "a" { address = "http://a" }\n'), ("assigned", 'vault = { address = "http://a" }\n'), ("assigned_list", 'vault = [{ address = "http://a" }]\n'), ("scalar", 'vault = "a"\n'), ("empty", "vault {}\n"), ("upper_case", 'VAULT { Address = "http://a" }\n'), ("two_by_case", "vault {}\nVault {}\n"), ("quoted", '"vault" { "address" = "http://a" }\n'), ("number", "vault = 1\n"), ("empty_list", "vault = []\n")]:
    c("vault", name, AUTH + text)

# auto_auth, method, sink
for name, text in [
    ("empty", "auto_auth {}\n"), ("two", AUTH + AUTH), ("assigned", "auto_auth = {\n" + METHOD + SINK + "}\n"), ("label", "auto_auth \"a\" {\n" + METHOD + SINK + "}\n"), ("scalar", "auto_auth = 1\n"), ("list", "auto_auth = [{\n" + METHOD + SINK + "}]\n"), ("upper_case", 'AUTO_AUTH { Method "token_file" {} Sink "file" { Config { Path = "/s" } } }\n'),
    ("sink_only", "auto_auth {\n" + SINK + "}\n"), ("two_methods", "auto_auth {\n" + METHOD + METHOD + SINK + "}\n"), ("two_sinks", "auto_auth {\n" + METHOD + SINK + SINK + "}\n"), ("sinks_wrapper", "auto_auth {\n" + METHOD + " sinks {\n" + SINK + SINK + "}\n}\n"), ("sinks_and_sink", "auto_auth {\n" + METHOD + SINK + " sinks {\n" + SINK + "}\n}\n"), ("sinks_empty", "auto_auth {\n" + METHOD + " sinks {}\n}\n"), ("sinks_two", "auto_auth {\n" + METHOD + " sinks {\n" + SINK + "}\n sinks {\n" + SINK + "}\n}\n"),
    ("unknown_key", "auto_auth {\n" + METHOD + SINK + " foo = 1\n}\n"), ("reauth_true", "auto_auth {\n" + METHOD + SINK + " enable_reauth_on_new_credentials = true\n}\n"), ("reauth_string", "auto_auth {\n" + METHOD + SINK + ' enable_reauth_on_new_credentials = "true"\n}\n'), ("reauth_number", "auto_auth {\n" + METHOD + SINK + " enable_reauth_on_new_credentials = 1\n}\n"),
    ("method_wrapping_no_sink", 'auto_auth { method "token_file" { wrap_ttl = 300 } }\n' + TEMPLATE), ("method_wrapping_one_sink", AUTH_WRAPPED), ("method_wrapping_two_sinks", 'auto_auth {\n method "token_file" { wrap_ttl = 300 }\n' + SINK + SINK + "}\n"), ("both_wrapping", 'auto_auth {\n method "token_file" { wrap_ttl = 300 }\n sink "file" { wrap_ttl = 300 }\n}\n'), ("sink_wrapping", 'auto_auth {\n' + METHOD + ' sink "file" { wrap_ttl = 300 }\n}\n'), ("method_wrapping_zero_two_sinks", 'auto_auth {\n method "token_file" { wrap_ttl = 0 }\n' + SINK + SINK + "}\n"),
    ("method_negative_wrapping_two_sinks", 'auto_auth {\n method "token_file" { wrap_ttl = -1 }\n' + SINK + SINK + "}\n"),
]:
    c("auto_auth", name, text)
for block in ['method "token_file" {}', "method token_file {}", 'method "TOKEN_FILE" {}', 'method { type = "token_file" }', 'method { type = "Token_File" }', "method {}", 'method "" {}', 'method { type = "" }', 'method "a" { type = "token_file" }', 'method "a" "b" {}', 'method = { type = "token_file" }', 'method "nosuch" {}', 'method = [{ type = "token_file" }]', "method = 1", 'method { type = 5 }', 'method { type = true }', '"method" "token_file" {}', 'METHOD { TYPE = "token_file" }']:
    c("method", block, "auto_auth {\n " + block + "\n" + SINK + "}\n")
inside("method", 'auto_auth {\n method "token_file" {\n %s\n }\n' + SINK + "}\n", [
    'mount_path = "auth/a"', 'mount_path = "auth/a/"', 'mount_path = ""', "mount_path = 5", "mount_path = true", 'namespace = "/a/"', 'namespace = "root"', "namespace = 5",
    'wrap_ttl = "5m"', "wrap_ttl = 300", 'wrap_ttl = "300"', 'wrap_ttl = "zz"', 'wrap_ttl = ""', 'wrap_ttl = "-5m"', "wrap_ttl = true", "wrap_ttl = 1.5", "wrap_ttl = [1]", 'wrap_ttl = "1.5s"', 'wrap_ttl = "1d"', 'wrap_ttl = " 5m"', 'wrap_ttl = "5 m"',
    'min_backoff = "1s"', "min_backoff = 5", 'min_backoff = "5"', 'min_backoff = "zz"', 'min_backoff = ""', "min_backoff = 0", "min_backoff = -5", 'min_backoff = "1d"', 'min_backoff = "1.5d"', "min_backoff = true", "min_backoff = 1.5", 'max_backoff = "1m"', 'max_backoff = "zz"', "max_backoff = 0", 'min_backoff = "10s"\n max_backoff = "5s"', 'min_backoff = "5s"\n max_backoff = "5s"', 'min_backoff = "500us"', 'min_backoff = "1w"', 'min_backoff = "5µs"', 'min_backoff = "+5s"', 'min_backoff = "1e3s"', 'min_backoff = ".5s"', 'min_backoff = "5S"',
    "exit_on_err = true", "exit_on_err = false", 'exit_on_err = "true"', "exit_on_err = 1", "foo = 1", "foo { a = 1 }",
    "config {}", "config = {}", 'config { token_file_path = "/t" }', "config { token_file_path = 5 }", "config { a { b = 1 } }", 'config { a = 1 }\n config { b = 2 }', 'config "a" { b = 1 }', "config = 5", "config = []", "config = [{ a = 1 }]", "config { a = [1, \"b\"] }", "config { a = 08 }", "config { a = 1e }", "config { a = 9223372036854775808 }",
])
for block in ['sink "file" {}', "sink file {}", 'sink "FILE" {}', 'sink { type = "file" }', 'sink { type = "FILE" }', "sink {}", 'sink "" {}', 'sink "a" "b" {}', 'sink = { type = "file" }', 'sink "nosuch" {}', 'sink = [{ type = "file" }]', "sink = 1", 'sink "a" { type = "file" }']:
    c("sink", block, "auto_auth {\n" + METHOD + " " + block + "\n}\n")
inside("sink", "auto_auth {\n" + METHOD + ' sink "file" {\n %s\n }\n}\n', [
    'wrap_ttl = "5m"', "wrap_ttl = 300", 'wrap_ttl = "zz"', 'wrap_ttl = ""', 'dh_type = "curve25519"', 'dh_path = "/a"', 'dh_type = "curve25519"\n dh_path = "/a"', 'dh_type = ""', 'dh_type = "rsa"', 'dh_type = "rsa"\n dh_path = "/a"', 'dh_type = "Curve25519"\n dh_path = "/a"', 'aad = "a"', 'aad = ""', 'aad = "a"\n dh_type = "curve25519"\n dh_path = "/a"', 'aad_env_var = "NOSUCH"', 'aad_env_var = "HOME"', 'aad_env_var = "HOME"\n dh_type = "curve25519"\n dh_path = "/a"',
    "derive_key = true", "derive_key = false", 'derive_key = true\n dh_type = "curve25519"\n dh_path = "/a"', 'derive_key = "true"', "derive_key = 1", "foo = 1", "config {}", 'config { path = "/s" mode = 0600 }', 'config { path = "/s" mode = "0600" }', "config { path = 5 }", "config = 5", "config = []", 'config { path = "/s" }\n config { mode = 384 }', 'config { mode = 08 }', 'dh_type = 5',
])

# cache, persist, api_proxy
inside("cache", AUTH + LISTENER + "cache {\n %s\n}\n", [
    "use_auto_auth_token = true", "use_auto_auth_token = false", 'use_auto_auth_token = "true"', 'use_auto_auth_token = "force"', 'use_auto_auth_token = "FORCE"', 'use_auto_auth_token = "maybe"', "use_auto_auth_token = 1", "use_auto_auth_token = 2", 'use_auto_auth_token = "1"', 'use_auto_auth_token = ""', "use_auto_auth_token = []", 'use_auto_auth_token = "yes"', 'enforce_consistency = "always"', 'enforce_consistency = "x"', 'when_inconsistent = "retry"', 'when_inconsistent = "x"', "foo = 1", "cache_static_secrets = true", 'static_secret_token_capability_refresh_behavior = "x"', "disable_caching_dynamic_secrets = true",
    'persist "kubernetes" { path = "/c" }', 'persist kubernetes { path = "/c" }', 'persist { type = "kubernetes" path = "/c" }', 'persist "KUBERNETES" { path = "/c" }', 'persist { path = "/c" }', 'persist "kubernetes" {}', 'persist "" { path = "/c" }', 'persist "nosuch" { path = "/c" }', 'persist "a" "b" { path = "/c" }', 'persist "kubernetes" { path = "/c" }\n persist "kubernetes" { path = "/d" }', 'persist = { type = "kubernetes" path = "/c" }', 'persist "kubernetes" { path = "" }', "persist = 1", "persist {}",
    'persist "kubernetes" { path = "/c" keep_after_import = true exit_on_err = false service_account_token_file = "/t" }', 'persist "kubernetes" { path = "/c" keep_after_import = "true" }', 'persist "kubernetes" { path = "/c" exit_on_err = 1 }', 'persist "kubernetes" { path = "/c" foo = 1 }', 'persist "kubernetes" { path = 5 }', 'persist "kubernetes" { path = "/c" service_account_token_file = true }',
])
for name, text in [("two", "cache {}\ncache {}\n"), ("label", 'cache "a" {}\n'), ("assigned", "cache = {}\n"), ("scalar", "cache = true\n"), ("list", "cache = [{}]\n"), ("upper_case", "CACHE {}\n"), ("empty_list", "cache = []\n")]:
    c("cache", name, AUTH + LISTENER + text)
c("cache", "proxy_use_auto_auth_token_maybe", AUTH + LISTENER + 'cache { use_auto_auth_token = "maybe" }\n', "proxy")
c("cache", "proxy_static_secrets", AUTH_NO_SINK + LISTENER + "cache { cache_static_secrets = true }\n", "proxy")
c("cache", "proxy_static_secrets_no_auto_auth", LISTENER + "cache { cache_static_secrets = true }\n", "proxy")
c("cache", "proxy_persist", AUTH + LISTENER + 'cache { persist "kubernetes" { path = "/c" } }\n', "proxy")
c("cache", "proxy_persist_missing_type", AUTH + LISTENER + 'cache { persist { path = "/c" } }\n', "proxy")
c("cache", "proxy_nothing_cached", AUTH + LISTENER + "cache { disable_caching_dynamic_secrets = true }\n", "proxy")
c("cache", "proxy_behavior", AUTH + LISTENER + 'cache { static_secret_token_capability_refresh_behavior = "x" }\n', "proxy")
inside("api_proxy", AUTH + LISTENER + "api_proxy {\n %s\n}\n", [
    "use_auto_auth_token = true", "use_auto_auth_token = false", 'use_auto_auth_token = "true"', 'use_auto_auth_token = "force"', 'use_auto_auth_token = "Force"', 'use_auto_auth_token = "maybe"', 'use_auto_auth_token = "f"', "use_auto_auth_token = 1", "use_auto_auth_token = 0", "use_auto_auth_token = 2", "use_auto_auth_token = 1.5", 'use_auto_auth_token = ""', "use_auto_auth_token = []", "use_auto_auth_token = {}", 'enforce_consistency = "always"', 'enforce_consistency = "x"', "enforce_consistency = 5", 'when_inconsistent = "retry"', 'when_inconsistent = "x"', "prepend_configured_namespace = true", "foo = 1",
])
for name, text in [("two", "api_proxy {}\napi_proxy {}\n"), ("label", 'api_proxy "a" {}\n'), ("assigned", "api_proxy = {}\n"), ("scalar", "api_proxy = true\n"), ("list", "api_proxy = [{}]\n")]:
    c("api_proxy", name, AUTH + LISTENER + text)

# listener
for block in ['listener "tcp" {}', "listener tcp {}", 'listener "TCP" {}', 'listener { type = "tcp" }', 'listener { type = "TCP" }', "listener {}", 'listener "" {}', 'listener "http" {}', 'listener "tcp" "b" {}', 'listener = { type = "tcp" }', 'listener = [{ type = "tcp" }]', "listener = 1", "listener = []", 'listener "unix" {}', 'listener "unix" { address = "/s" }', 'listener "a" { type = "tcp" }', 'listener "tcp" {}\nlistener "tcp" {}', 'listener "tcp" {}\nlistener "nosuch" {}', 'LISTENER "tcp" {}', 'listener { type = 5 }', '"listener" "tcp" {}', 'listener "unix" { socket_mode = "0600" socket_user = "nosuch" socket_group = "nosuch" }', 'listener "unix" { socket_mode = 0640 }', 'listener "unix" { socket_mode = "u=rw" }', 'listener "unix" { socket_mode = true }']:
    c("listener", block, AUTH + block + "\n")
for block in ['listener "tcp" { role = "metrics_only" }', 'listener "tcp" { agent_api { enable_quit = true } }', 'listener "tcp" { proxy_api { enable_quit = "x" } }', 'listener "http" {}', 'listener {}']:
    c("listener", "proxy " + block, AUTH + block + "\n", "proxy")
inside("listener", AUTH + 'listener "tcp" {\n %s\n}\n', [
    'address = "127.0.0.1:8100"', 'address = ""', "address = 8100", "address = true", 'address = "nonsense"', 'address = "{{ GetPrivateIP }}:1"', 'address = "{{ nosuch }}"', 'address = "{{ GetAllInterfaces | include \\"name\\" \\"nosuch\\" | attr \\"address\\" }}"', 'cluster_address = "127.0.0.1:1"',
    'role = "default"', 'role = "metrics_only"', 'role = "xx"', 'role = ""', 'role = "Metrics_Only"', "role = 5", 'purpose = "a"', 'purpose = ["a"]',
    "require_request_header = true", 'require_request_header = "true"', "require_request_header = 1", 'require_request_header = "x"', 'require_request_header = ""',
    "tls_disable = true", 'tls_disable = "true"', "tls_disable = 1", "tls_disable = 2", 'tls_disable = "yes"', 'tls_disable = ""', "tls_disable = []", 'tls_cert_file = "/c"', 'tls_key_file = "/k"', "tls_cert_file = true", 'tls_min_version = "tls12"', 'tls_min_version = "tls14"', 'tls_min_version = "TLS12"', 'tls_min_version = ""', 'tls_max_version = "tls10"', 'tls_max_version = "x"', 'tls_min_version = "tls13"\n tls_max_version = "tls12"', 'tls_disable = true\n tls_min_version = "x"', 'tls_disable = true\n tls_min_version = "tls13"\n tls_max_version = "tls12"',
    'tls_cipher_suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"', 'tls_cipher_suites = "x"', 'tls_cipher_suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"', 'tls_cipher_suites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]', 'tls_cipher_suites = ""', 'tls_key_exchange_preferences = ["X25519"]', 'tls_key_exchange_preferences = ["x"]', 'tls_key_exchange_preferences = "X25519"',
    "tls_require_and_verify_client_cert = true", 'tls_require_and_verify_client_cert = "x"', 'tls_client_ca_file = "/a"', "tls_disable_client_certs = true", "tls_disable_client_certs = true\n tls_require_and_verify_client_cert = true", 'tls_disable = true\n tls_disable_client_certs = true\n tls_require_and_verify_client_cert = true', "tls_prefer_server_cipher_suites = true",
    "tls_auto_reload = true", 'tls_auto_reload = true\n tls_cert_file = "/c"\n tls_key_file = "/k"', 'tls_auto_reload = true\n tls_auto_reload_interval = "1s"\n tls_cert_file = "/c"\n tls_key_file = "/k"', 'tls_auto_reload_interval = "1s"', 'tls_auto_reload_interval = "x"', 'tls_auto_reload = "x"',
    'tls_acme_domains = ["a"]', 'tls_acme_domains = "a"', 'tls_acme_ca_directory = "http://a"', 'tls_acme_email = 5',
    "agent_api { enable_quit = true }", 'agent_api { enable_quit = "true" }', "agent_api { enable_quit = 1 }", "agent_api {}", "agent_api {}\n agent_api {}", "agent_api = true", "proxy_api { enable_quit = true }", 'proxy_api { enable_quit = "true" }', "agent_api { foo = 1 }",
    "telemetry { unauthenticated_metrics_access = true }", 'telemetry { unauthenticated_metrics_access = "x" }', 'profiling { unauthenticated_pprof_access = "x" }', 'inflight_requests_logging { unauthenticated_in_flight_requests_access = "x" }',
    "max_request_size = 5", 'max_request_size = "x"', "max_request_size = -1", 'max_request_duration = "5s"', 'max_request_duration = "x"', "max_request_duration = -1", "max_request_json_memory = 5", 'max_request_json_memory = "x"', 'http_read_timeout = "5s"', 'http_read_timeout = "x"', 'http_idle_timeout = "x"', "http_write_timeout = 5", 'http_read_header_timeout = ""',
    'proxy_protocol_behavior = "use_always"', 'proxy_protocol_behavior = "x"', 'proxy_protocol_behavior = "allow_authorized"', 'proxy_protocol_authorized_addrs = "127.0.0.1"', 'proxy_protocol_authorized_addrs = "x"', 'x_forwarded_for_authorized_addrs = "127.0.0.1"', 'x_forwarded_for_authorized_addrs = "x"', 'x_forwarded_for_hop_skips = 1', 'x_forwarded_for_hop_skips = -1', 'x_forwarded_for_hop_skips = "x"', "x_forwarded_for_reject_not_present = 5", 'x_forwarded_for_reject_not_present = "x"',
    "cors_enabled = true", 'cors_enabled = true\n cors_allowed_origins = ["*"]', 'cors_enabled = true\n cors_allowed_origins = ["*", "http://a"]', 'cors_enabled = "x"', 'cors_allowed_headers = ["a"]', 'custom_response_headers { "default" = { "a" = ["b"] } }', 'custom_response_headers { "default" = { "a" = "b" } }', 'custom_response_headers { "9xx" = { "a" = ["b"] } }', 'custom_response_headers { "default" = { "X-Vault-Foo" = ["b"] } }', "custom_response_headers = 5",
    "foo = 1", "foo { a = 1 }", 'Address = "127.0.0.1:1"',
])

# template_config, template, telemetry
inside("template_config", AUTH + "template_config {\n %s\n}\n", [
    "exit_on_retry_failure = true", 'exit_on_retry_failure = "true"', "exit_on_retry_failure = 1", 'static_secret_render_interval = "5m"', "static_secret_render_interval = 300", 'static_secret_render_interval = "300"', 'static_secret_render_interval = "x"', 'static_secret_render_interval = ""', "static_secret_render_interval = 0", "static_secret_render_interval = -1", "static_secret_render_interval = true", 'static_secret_render_interval = "1d"', "static_secret_render_interval = 1.5", "max_connections_per_host = 10", 'max_connections_per_host = "x"', "lease_renewal_threshold = 0.9", 'lease_renewal_threshold = "x"', "foo = 1",
])
for name, text in [("two", "template_config {}\ntemplate_config {}\n"), ("label", 'template_config "a" {}\n'), ("assigned", "template_config = {}\n"), ("scalar", "template_config = true\n"), ("empty", "template_config {}\n"), ("list", "template_config = [{}]\n")]:
    c("template_config", name, AUTH + text)
for block in ["template {}", 'template "a" { contents = "a" destination = "/d" }', 'template "a" "b" { contents = "a" destination = "/d" }', 'template = { contents = "a" destination = "/d" }', 'template = [{ contents = "a" destination = "/d" }]', "template = 1", "template = []", 'TEMPLATE { CONTENTS = "a" Destination = "/d" }', TEMPLATE + TEMPLATE, 'templates { foo = 1 }']:
    c("template", block.strip(), AUTH + block.strip() + "\n")
inside("template", AUTH + 'template {\n contents = "a"\n destination = "/d"\n %s\n}\n', [
    "backup = true", 'backup = "true"', "backup = 1", 'command = "a"', 'command = ["a", "b"]', "command = 5", "command = []", 'command = [5]', 'command = "a, b"', 'command_timeout = "30s"', "command_timeout = 30", 'command_timeout = "30"', 'command_timeout = "x"', 'command_timeout = ""', 'command_timeout = "1d"', "command_timeout = 1.5", "command_timeout = true",
    'contents = "b"', "contents = 5", 'contents = ["a"]', "contents = <<EOT\na\nEOT", 'source = "/a"', "source = 5", "create_dest_dirs = true", 'create_dest_dirs = "true"', "create_dest_dirs = 0", 'destination = "/e"', "destination = 5", 'destination = ""', "error_on_missing_key = true", 'error_on_missing_key = "true"', "error_on_missing_key = 1", "error_fatal = true", 'error_fatal = "x"',
    'exec { command = ["a"] }', 'exec { command = "a" }', 'exec { timeout = "5s" }', "exec { timeout = 5 }", 'exec { timeout = "5" }', "exec { foo = 1 }", "exec {}\n exec {}", 'exec = { command = ["a"] }', 'exec { command = ["a"] enabled = true }', 'exec { env { pristine = true custom = ["A=b"] } }', 'exec { env { foo = 1 } }', 'exec { kill_signal = "SIGTERM" }', 'exec { kill_signal = "SIGFOO" }', 'exec { kill_timeout = "5s" splay = "1s" }', 'exec = "a"',
    'perms = "0640"', 'perms = "640"', "perms = 0640", "perms = 640", 'perms = "u=rw"', 'perms = "0999"', 'perms = ""', "perms = 1.5", "perms = true", 'perms = "0o640"', "perms = -1", 'perms = "-1"', 'perms = "07777"', 'perms = "0x1ff"',
    'user = "a"', "user = 5", "uid = 1", 'uid = "1"', 'group = "a"', "gid = 1", 'gid = "x"', "uid = -1", "uid = 1.5", 'left_delimiter = "<<"\n right_delimiter = ">>"', 'left_delimiter = "<<"', 'left_delimiter = ""', "left_delimiter = 5",
    'wait { min = "1s" max = "2s" }', 'wait { min = 1 max = 2 }', 'wait { min = "1" }', 'wait = "1s:2s"', 'wait = "1s"', 'wait = "x"', 'wait = ""', 'wait = "2s:1s"', 'wait { min = "2s" max = "1s" }', 'wait = "1:2"', 'wait = "1s:2s:3s"', 'wait { min = "1s" }\n wait { min = "2s" }', "wait { foo = 1 }", "wait = 5", "wait {}", "wait { enabled = false }", 'wait = { min = "1s" max = "2s" }', 'wait = "-1s"',
    'function_denylist = ["executeTemplate"]', 'function_denylist = "a,b"', 'function_denylist = "a"', "function_denylist = [5]", 'function_blacklist = ["a"]', 'function_denylist = []', 'sandbox_path = "/a"', "sandbox_path = 5", "foo = 1", 'Perms = "0640"', "map_to_environment_variable = \"A\"", 'map_to_environment_variable = ""', 'ext_func_map = 5', 'source = ""',
])
inside("telemetry", AUTH + "telemetry {\n %s\n}\n", [
    'statsite_address = "a"', "statsite_address = 5", 'statsd_address = "a"', "disable_hostname = true", 'disable_hostname = "true"', "disable_hostname = 1", "enable_hostname_label = true", 'enable_hostname_label = "x"', 'metrics_prefix = "a"', "metrics_prefix = true", 'usage_gauge_period = "5m"', 'usage_gauge_period = "none"', "usage_gauge_period = 5", 'usage_gauge_period = "x"', 'usage_gauge_period = "NONE"', "maximum_gauge_cardinality = 5", 'maximum_gauge_cardinality = "5"', 'maximum_gauge_cardinality = "x"',
    'prometheus_retention_time = "30s"', "prometheus_retention_time = 0", 'prometheus_retention_time = "0"', 'prometheus_retention_time = "x"', 'prometheus_retention_time = ""', "prometheus_retention_time = -1", "prometheus_retention_time = true", 'dogstatsd_addr = "a"', 'dogstatsd_tags = ["a"]', 'dogstatsd_tags = "a"', "filter_default = false", 'filter_default = "x"', 'prefix_filter = ["+a", "-b"]', 'prefix_filter = ["a"]', 'prefix_filter = [""]', 'prefix_filter = "+a"',
    'lease_metrics_epsilon = "1h"', 'lease_metrics_epsilon = "x"', "num_lease_metrics_buckets = 5", 'num_lease_metrics_buckets = "x"', "add_lease_metrics_namespace_labels = true", 'circonus_api_token = "a"', 'circonus_check_force_metric_activation = "true"', "circonus_check_force_metric_activation = true", "circonus_foo = 1", 'stackdriver_project_id = "a"', "stackdriver_debug_logs = true", 'stackdriver_debug_logs = "x"', "foo = 1", 'rollback_metrics_include_mount_point = true',
])
for name, text in [("two", "telemetry {}\ntelemetry {}\n"), ("label", 'telemetry "a" { metrics_prefix = "b" }\n'), ("assigned", "telemetry = {}\n"), ("scalar", "telemetry = true\n"), ("list", "telemetry = [{}]\n"), ("empty", "telemetry {}\n")]:
    c("telemetry", name, AUTH + text)

# JSON
J = {"auto_auth": JSON_AUTH}
L = {"type": "tcp", "address": "127.0.0.1:8100", "tls_disable": True}
T = {"contents": "a", "destination": "/d"}
M = {"type": "token_file", "config": {"token_file_path": "/t"}}
S = {"type": "file", "config": {"path": "/s"}}
AJ = json.dumps(JSON_AUTH)
j("json", "plain", J)
j("json", "plain_in_hcl_named_file", {"auto_auth": JSON_AUTH})
c("json", "json_text_in_file_named_hcl", {"a.hcl": json.dumps(J)})
c("json", "hcl_text_in_file_named_json", {"a.json": AUTH})
c("json", "comment_then_json", {"a.json": "# a\n" + json.dumps(J)})
j("json", "empty_object", "{}")
j("json", "lone_brace", "{")
for name, more in [
    ("vault_object", {"vault": {"address": "http://a"}}), ("vault_list", {"vault": [{"address": "http://a"}]}), ("vault_empty", {"vault": {}}), ("vault_empty_list", {"vault": []}), ("vault_list_of_empty", {"vault": [{}]}), ("vault_list_of_two", {"vault": [{"address": "a"}, {"address": "b"}]}), ("vault_null", {"vault": None}), ("vault_values_null", {"vault": {"address": None, "ca_cert": None}}), ("vault_bool_null", {"vault": {"tls_skip_verify": None}}), ("vault_retry", {"vault": {"retry": {"num_retries": 5}}}), ("vault_retry_and_address", {"vault": {"address": "http://a", "retry": {"num_retries": 5}}}), ("vault_retry_list", {"vault": {"address": "http://a", "retry": [{"num_retries": 5}]}}), ("vault_retry_empty", {"vault": {"address": "http://a", "retry": {}}}), ("vault_skip_verify_string", {"vault": {"tls_skip_verify": "true"}}),
    ("listener_object", {"listener": L}), ("listener_list", {"listener": [L]}), ("listener_list_of_two", {"listener": [L, L]}), ("listener_label", {"listener": {"tcp": {"address": "127.0.0.1:1"}}}), ("listener_label_list", {"listener": [{"tcp": {"address": "a"}}, {"unix": {"address": "/s"}}]}), ("listener_label_empty", {"listener": {"tcp": {}}}), ("listener_label_list_inside", {"listener": {"tcp": [{"address": "127.0.0.1:1"}]}}), ("listener_two_labels_object", {"listener": {"tcp": {"address": "a"}, "unix": {"address": "b"}}}), ("listener_empty_list", {"listener": []}), ("listener_empty", {"listener": {}}), ("listener_null", {"listener": None}), ("listener_agent_api", {"listener": [dict(L, agent_api={"enable_quit": True})]}), ("listener_agent_api_only", {"listener": [{"type": "tcp", "agent_api": {"enable_quit": True}}]}), ("listener_no_type", {"listener": [{"address": "a"}]}), ("listener_port_number", {"listener": [{"type": "tcp", "address": 8100}]}), ("listener_scalar", {"listener": "tcp"}), ("listener_nested_list", {"listener": [[L]]}),
    ("template_object", {"template": T}), ("template_list", {"template": [T]}), ("template_list_of_two", {"template": [T, T]}), ("template_empty_list", {"template": []}), ("template_null", {"template": None}), ("template_empty", {"template": {}}), ("template_wait_object", {"template": [dict(T, wait={"min": "1s", "max": "2s"})]}), ("template_wait_list", {"template": [dict(T, wait=[{"min": "1s", "max": "2s"}])]}), ("template_wait_string", {"template": [dict(T, wait="1s:2s")]}), ("template_exec", {"template": [dict(T, exec={"command": ["a"]})]}), ("template_perms_number", {"template": [dict(T, perms=420)]}), ("template_perms_string", {"template": [dict(T, perms="0640")]}), ("template_null_values", {"template": [dict(T, perms=None, command=None, source=None)]}), ("template_unknown_key", {"template": [dict(T, foo=1)]}), ("template_error_on_missing_key_string", {"template": [dict(T, error_on_missing_key="true")]}), ("template_bool_null", {"template": [dict(T, backup=None)]}),
    ("cache_empty", {"cache": {}}), ("cache_empty_and_listener", {"cache": {}, "listener": [L]}), ("cache_list_and_listener", {"cache": [{}], "listener": [L]}), ("cache_empty_list", {"cache": [], "listener": [L]}), ("cache_null", {"cache": None, "listener": [L]}), ("cache_use_token_string", {"cache": {"use_auto_auth_token": "true"}, "listener": [L]}), ("cache_persist_type", {"cache": {"persist": {"type": "kubernetes", "path": "/c"}}, "listener": [L]}), ("cache_persist_type_and_key", {"cache": {"use_auto_auth_token": "force", "persist": {"type": "kubernetes", "path": "/c"}}, "listener": [L]}), ("cache_persist_label", {"cache": {"persist": {"kubernetes": {"path": "/c"}}}, "listener": [L]}), ("cache_persist_label_and_key", {"cache": {"use_auto_auth_token": True, "persist": {"kubernetes": {"path": "/c"}}}, "listener": [L]}), ("cache_persist_list", {"cache": {"persist": [{"type": "kubernetes", "path": "/c"}]}, "listener": [L]}),
    ("api_proxy_empty", {"api_proxy": {}, "listener": [L]}), ("api_proxy_force", {"api_proxy": {"use_auto_auth_token": "force"}, "listener": [L]}), ("api_proxy_null", {"api_proxy": None, "listener": [L]}), ("api_proxy_list", {"api_proxy": [{"use_auto_auth_token": True}], "listener": [L]}),
    ("template_config", {"template_config": {"exit_on_retry_failure": True, "static_secret_render_interval": "5m", "max_connections_per_host": 10, "lease_renewal_threshold": 0.9}}), ("template_config_null", {"template_config": None}), ("template_config_list", {"template_config": [{}]}), ("template_config_empty", {"template_config": {}}), ("template_config_bool_string", {"template_config": {"exit_on_retry_failure": "true"}}),
    ("telemetry", {"telemetry": {"prometheus_retention_time": "30s", "disable_hostname": True}}), ("telemetry_empty", {"telemetry": {}}), ("telemetry_null", {"telemetry": None}), ("telemetry_list", {"telemetry": [{}]}), ("telemetry_list_of_two", {"telemetry": [{}, {}]}),
    ("env_template_label", {"env_template": {"A": {"contents": "a"}}, "exec": {"command": ["a"]}}), ("env_template_label_two", {"env_template": {"A": {"contents": "a"}, "B": {"contents": "b"}}, "exec": {"command": ["a"]}}), ("env_template_list", {"env_template": [{"A": {"contents": "a"}}, {"B": {"contents": "b"}}], "exec": {"command": ["a"]}}), ("env_template_list_inside", {"env_template": [{"A": [{"contents": "a"}]}], "exec": {"command": ["a"]}}), ("env_template_no_name", {"env_template": [{"contents": "a"}], "exec": {"command": ["a"]}}), ("env_template_empty_list", {"env_template": [], "exec": {"command": ["a"]}}), ("env_template_empty_object_inside", {"env_template": {"A": {}}, "exec": {"command": ["a"]}}), ("exec_list", {"env_template": {"A": {"contents": "a"}}, "exec": [{"command": ["a"]}]}), ("exec_string_command", {"env_template": {"A": {"contents": "a"}}, "exec": {"command": "a"}}), ("exec_null", {"exec": None}), ("exec_empty", {"env_template": {"A": {"contents": "a"}}, "exec": {}}),
    ("exit_after_auth", {"exit_after_auth": True}), ("exit_after_auth_string", {"exit_after_auth": "true"}), ("exit_after_auth_null", {"exit_after_auth": None}), ("exit_after_auth_number", {"exit_after_auth": 1}), ("pid_file", {"pid_file": "/p"}), ("pid_file_null", {"pid_file": None}), ("pid_file_number", {"pid_file": 5}), ("pid_file_bool", {"pid_file": True}), ("log_rotate_bytes_string", {"log_rotate_bytes": "100"}), ("log_rotate_bytes_null", {"log_rotate_bytes": None}), ("log_rotate_bytes_float", {"log_rotate_bytes": 1.5}), ("idle", {"disable_idle_connections": ["templating"]}), ("idle_null", {"disable_idle_connections": None}), ("idle_string", {"disable_idle_connections": "templating"}), ("unknown_object", {"foo": {"a": 1}}), ("unknown_null", {"foo": None}), ("unknown_empty", {"foo": {}}), ("upper_case", {"PID_FILE": "/p"}),
]:
    j("json", name, dict(J, **more))
for name, value in [
    ("list", [JSON_AUTH]), ("null", None), ("empty", {}), ("empty_list", []), ("method_list", {"method": [M], "sinks": [{"sink": S}]}), ("method_object_no_sink", {"method": M}), ("method_list_no_sink", {"method": [M]}), ("sink_object", {"method": M, "sink": S}), ("sink_list", {"method": M, "sink": [S]}), ("sink_list_of_two", {"method": M, "sink": [S, S]}), ("sink_and_method_list", {"method": [M], "sink": [S]}), ("sinks_object", {"method": M, "sinks": {"sink": S}}), ("sinks_list_of_two", {"method": M, "sinks": [{"sink": S}, {"sink": S}]}), ("sinks_plain_list", {"method": M, "sinks": [S]}), ("sinks_list_inside", {"method": M, "sinks": [{"sink": [S, S]}]}),
    ("method_label", {"method": {"token_file": {"config": {"token_file_path": "/t"}}}, "sinks": [{"sink": S}]}), ("method_label_list", {"method": [{"token_file": {"config": {"token_file_path": "/t"}}}], "sinks": [{"sink": S}]}), ("method_label_list_inside", {"method": [{"token_file": [{"config": {"token_file_path": "/t"}}]}], "sinks": [{"sink": S}]}), ("method_label_with_scalar", {"method": {"token_file": {"mount_path": "auth/a", "config": {"token_file_path": "/t"}}}, "sinks": [{"sink": S}]}),
    ("sink_label", {"method": M, "sink": [{"file": {"config": {"path": "/s"}}}]}), ("sink_label_with_scalar", {"method": M, "sink": [{"file": {"wrap_ttl": "5m", "config": {"path": "/s"}}}]}), ("sinks_label", {"method": M, "sinks": [{"sink": {"file": {"config": {"path": "/s"}}}}]}), ("method_empty_config", {"method": {"type": "token_file", "config": {}}, "sinks": [{"sink": S}]}), ("method_list_empty_config", {"method": [{"type": "token_file", "config": {}}], "sinks": [{"sink": S}]}), ("method_config_list", {"method": {"type": "token_file", "config": [{"token_file_path": "/t"}]}, "sinks": [{"sink": S}]}), ("method_no_config", {"method": {"type": "token_file"}, "sinks": [{"sink": S}]}), ("method_config_null", {"method": {"type": "token_file", "config": None}, "sinks": [{"sink": S}]}), ("method_two", {"method": [M, M], "sinks": [{"sink": S}]}), ("method_null_values", {"method": dict(M, mount_path=None, namespace=None, wrap_ttl=None), "sinks": [{"sink": S}]}), ("method_exit_on_err_null", {"method": dict(M, exit_on_err=None), "sinks": [{"sink": S}]}), ("method_backoffs", {"method": dict(M, min_backoff="1s", max_backoff="5m", exit_on_err=True), "sinks": [{"sink": S}]}), ("method_backoff_number", {"method": dict(M, min_backoff=1, max_backoff=300), "sinks": [{"sink": S}]}), ("method_backoff_null", {"method": dict(M, min_backoff=None), "sinks": [{"sink": S}]}), ("sink_null", {"method": M, "sink": None}), ("sink_empty_list", {"method": M, "sink": []}), ("reauth_and_blocks", {"method": M, "sinks": [{"sink": S}], "enable_reauth_on_new_credentials": True}), ("sink_list_and_scalar", {"method": M, "sink": [S], "enable_reauth_on_new_credentials": False}),
]:
    j("json_auto_auth", name, {"auto_auth": value})
j("json", "trailing_comma", '{"auto_auth": %s,}' % AJ)
j("json", "duplicate_scalar", '{"auto_auth": %s, "pid_file": "/a", "pid_file": "/b"}' % AJ)
j("json", "duplicate_stanza", '{"auto_auth": %s, "vault": {"address": "a"}, "vault": {"address": "b"}}' % AJ)
j("json", "duplicate_listener", '{"auto_auth": %s, "listener": {"type": "tcp"}, "listener": {"type": "tcp"}}' % AJ)
j("json", "number_float", '{"auto_auth": %s, "log_rotate_bytes": 1e3}' % AJ)

# The Kubernetes injector's configuration.
INJECTOR = {
    "auto_auth": {"method": {"type": "kubernetes", "mount_path": "auth/kubernetes", "namespace": "ns", "min_backoff": "1s", "max_backoff": "5m", "exit_on_err": True,
                             "config": {"role": "app", "token_path": "/var/run/secrets/vault.hashicorp.com/serviceaccount/token"}},
                  "sink": [{"type": "file", "config": {"path": "/home/vault/.vault-token"}}, {"type": "file", "config": {"path": "/vault/secrets/token"}}]},
    "exit_after_auth": True, "pid_file": "/home/vault/.pid",
    "vault": {"address": "https://vault:8200", "ca_cert": "/vault/tls/ca.crt", "ca_path": "", "tls_skip_verify": True, "client_cert": "", "client_key": "", "tls_server_name": ""},
    "template": [{"create_dest_dirs": True, "destination": "/vault/secrets/db", "contents": "{{ with secret \"a\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n{{ end }}{{ end }}", "left_delimiter": "{{", "right_delimiter": "}}", "command": "sh -c 'true'", "perms": "0640", "error_on_missing_key": True}],
    "listener": [{"type": "tcp", "address": "127.0.0.1:8200", "tls_disable": True, "agent_api": {"enable_quit": True}}],
    "cache": {"use_auto_auth_token": "force", "persist": {"type": "kubernetes", "path": "/vault/agent-cache", "exit_on_err": True}},
    "template_config": {"exit_on_retry_failure": True, "static_secret_render_interval": "5m", "max_connections_per_host": 10, "lease_renewal_threshold": 0.9},
    "disable_idle_connections": ["templating"], "disable_keep_alives": ["templating"], "telemetry": {"prometheus_retention_time": "30s", "disable_hostname": True}}
j("injector", "everything", INJECTOR)
j("injector", "everything_source", dict(INJECTOR, template=[dict(INJECTOR["template"][0], source="/path")]))
MINIMAL = {k: INJECTOR[k] for k in ("auto_auth", "exit_after_auth", "pid_file", "vault", "template", "template_config")}
j("injector", "init", MINIMAL)
j("injector", "sidecar", dict(MINIMAL, exit_after_auth=False))
j("injector", "quit", dict(MINIMAL, cache={}, listener=INJECTOR["listener"]))
j("injector", "vault_null", dict(MINIMAL, vault=None))
j("injector", "cache_token_true", dict(MINIMAL, cache={"use_auto_auth_token": "true"}, listener=[L]))
j("injector", "cache_token_false", dict(MINIMAL, cache={"use_auto_auth_token": "false"}, listener=[L]))
j("injector", "cache_token_empty", dict(MINIMAL, cache={"use_auto_auth_token": ""}, listener=[L]))
j("injector", "one_sink_list", dict(MINIMAL, auto_auth={"method": INJECTOR["auto_auth"]["method"], "sink": INJECTOR["auto_auth"]["sink"][:1]}))
j("injector", "no_template", {k: v for k, v in MINIMAL.items() if k != "template"})
j("injector", "template_null", dict(MINIMAL, template=None))
j("injector", "telemetry_extra", dict(MINIMAL, telemetry={"prometheus_retention_time": "30s", "disable_hostname": True, "usage_gauge_period": "none", "prefix_filter": ["+a"]}))
j("injector", "token_file_method", dict(MINIMAL, auto_auth=dict(INJECTOR["auto_auth"], method={"type": "token_file", "config": {"token_file_path": "/t"}})))

# Other callers.
c("callers", "csi_provider", 'vault {\n  "address" = "https://vault:8200"\n}\n\ncache {}\n\nlistener "unix" {\n  address = "/var/run/vault/agent.sock"\n  tls_disable = true\n}\n')
c("callers", "csi_provider_proxy", 'vault {\n  "address" = "https://vault:8200"\n}\n\ncache {}\n\nlistener "unix" {\n  address = "/var/run/vault/agent.sock"\n  tls_disable = true\n}\n', "proxy")
c("callers", "webhook", 'pid_file = "/tmp/pidfile"\n\nauto_auth {\n  method "kubernetes" {\n    mount_path = "auth/kubernetes"\n    config = {\n      role = "app"\n    }\n  }\n\n  sink "file" {\n    config = {\n      path = "/vault/.vault-token"\n    }\n  }\n}\n\ntemplate {\n  contents = <<EOH\n    {{- with secret "database/creds/app" }}\n    username: {{ .Data.username }}\n    {{ end }}\n  EOH\n  destination = "/etc/secrets/config"\n  command     = "/bin/sh -c \\"kill -HUP $(pidof app) || true\\""\n}\n')
both("callers", "documentation_agent", 'pid_file = "./pidfile"\nvault {\n  address = "https://vault-fqdn:8200"\n  retry {\n    num_retries = 5\n  }\n}\nauto_auth {\n  method "aws" {\n    mount_path = "auth/aws-subaccount"\n    config = {\n      type = "iam"\n      role = "foobar"\n    }\n  }\n  sink "file" {\n    config = {\n      path = "/tmp/file-foo"\n    }\n  }\n  sink "file" {\n    wrap_ttl = "5m"\n    aad_env_var = "TEST_AAD_ENV"\n    dh_type = "curve25519"\n    dh_path = "/tmp/file-foo-dhpath2"\n    config = {\n      path = "/tmp/file-bar"\n    }\n  }\n}\ncache {\n}\napi_proxy {\n  use_auto_auth_token = true\n}\nlistener "unix" {\n  address = "/path/to/socket"\n  tls_disable = true\n  agent_api {\n    enable_quit = true\n  }\n}\nlistener "tcp" {\n  address = "127.0.0.1:8100"\n  tls_disable = true\n}\ntemplate {\n  source = "/etc/vault/server.key.ctmpl"\n  destination = "/etc/vault/server.key"\n}\ntemplate {\n  source = "/etc/vault/server.crt.ctmpl"\n  destination = "/etc/vault/server.crt"\n}\n')
c("callers", "process_supervisor", 'auto_auth {\n  method {\n    type = "token_file"\n    config {\n      token_file_path = "/home/u/.vault-token"\n    }\n  }\n}\n\ntemplate_config {\n  static_secret_render_interval = "5m"\n  exit_on_retry_failure         = true\n}\n\nvault {\n  address = "http://localhost:8200"\n}\n\nenv_template "FOO_PASSWORD" {\n  contents             = "{{ with secret \\"secret/data/foo\\" }}{{ .Data.data.password }}{{ end }}"\n  error_on_missing_key = true\n}\nenv_template "FOO_USER" {\n  contents             = "{{ with secret \\"secret/data/foo\\" }}{{ .Data.data.user }}{{ end }}"\n  error_on_missing_key = true\n}\n\nexec {\n  command                   = ["./my-app", "arg1", "arg2"]\n  restart_on_secret_changes = "always"\n  restart_stop_signal       = "SIGTERM"\n}\n')

# Several files.
for name, files in [
    ("two", {"a.hcl": AUTH, "b.hcl": LISTENER}), ("three", {"a.hcl": AUTH_NO_SINK, "b.hcl": TEMPLATE, "c.hcl": 'vault { address = "http://a" }\n'}), ("vault_twice", {"a.hcl": AUTH + "vault {}\n", "b.hcl": "vault {}\n"}), ("auto_auth_twice", {"a.hcl": AUTH, "b.hcl": AUTH}), ("auto_auth_second_without_sink", {"a.hcl": AUTH, "b.hcl": AUTH_NO_SINK}), ("auto_auth_first_without_sink", {"a.hcl": AUTH_NO_SINK, "b.hcl": AUTH}), ("empty_second", {"a.hcl": AUTH, "b.hcl": ""}), ("empty_first", {"a.hcl": "", "b.hcl": AUTH}), ("both_empty", {"a.hcl": "", "b.hcl": ""}), ("hcl_and_json", {"a.hcl": AUTH, "b.json": '{"pid_file": "/p"}'}), ("bad_second", {"a.hcl": AUTH, "b.hcl": "}\n"}), ("bad_first", {"a.hcl": "}\n", "b.hcl": AUTH}), ("both_bad", {"a.hcl": "}\n", "b.hcl": "vault {}\nvault {}\n"}),
    ("method_here_sink_there", {"a.hcl": AUTH_NO_SINK, "b.hcl": "auto_auth {\n" + SINK + "}\n"}), ("cache_here_listener_there", {"a.hcl": "cache {}\n", "b.hcl": LISTENER}), ("api_proxy_here_cache_there_both_tokens", {"a.hcl": AUTH + LISTENER + "api_proxy { use_auto_auth_token = true }\n", "b.hcl": "cache { use_auto_auth_token = true }\n"}), ("cache_here_api_proxy_there_both_tokens", {"a.hcl": AUTH + LISTENER + "cache { use_auto_auth_token = true }\n", "b.hcl": "api_proxy { use_auto_auth_token = true }\n"}), ("cache_token_here_api_proxy_there", {"a.hcl": AUTH_NO_SINK + LISTENER + "cache { use_auto_auth_token = true }\n", "b.hcl": "api_proxy {}\n"}), ("cache_token_replaced_by_plain_cache", {"a.hcl": AUTH_NO_SINK + LISTENER + "cache { use_auto_auth_token = true }\n", "b.hcl": "cache {}\n"}),
    ("exec_here_env_template_there", {"a.hcl": AUTH_NO_SINK + EXEC, "b.hcl": ENV}), ("env_template_same_name_twice", {"a.hcl": AUTH_NO_SINK + EXEC + ENV, "b.hcl": ENV}), ("exec_replaced_by_empty", {"a.hcl": AUTH_NO_SINK + EXEC + ENV, "b.hcl": "exec {}\n"}), ("template_here_env_template_there", {"a.hcl": AUTH_NO_SINK + EXEC + ENV, "b.hcl": TEMPLATE}), ("log_level_bad_then_good", {"a.hcl": AUTH + 'log_level = "x"\n', "b.hcl": 'log_level = "info"\n'}), ("log_level_good_then_bad", {"a.hcl": AUTH + 'log_level = "info"\n', "b.hcl": 'log_level = "x"\n'}), ("log_rotate_duration_bad_then_good", {"a.hcl": AUTH + 'log_rotate_duration = "x"\n', "b.hcl": 'log_rotate_duration = "1h"\n'}), ("wrapped_method_replaced", {"a.hcl": AUTH_WRAPPED + LISTENER, "b.hcl": AUTH + "api_proxy { use_auto_auth_token = true }\n"}), ("wrapping_and_two_sinks_over_two_files", {"a.hcl": AUTH_WRAPPED, "b.hcl": "auto_auth {\n" + METHOD + SINK + SINK + "}\n"}), ("telemetry_twice", {"a.hcl": AUTH + "telemetry {}\n", "b.hcl": "telemetry {}\n"}), ("template_config_twice", {"a.hcl": AUTH + "template_config {}\n", "b.hcl": "template_config {}\n"}), ("listeners_added", {"a.hcl": AUTH + LISTENER, "b.hcl": LISTENER}), ("disable_mlock_false_in_second", {"a.hcl": AUTH, "b.hcl": "disable_mlock = false\n"}),
]:
    both("merge", name, files)


def run(bao, tmp, case):
    group, name, mode, files, environment = case
    d = tempfile.mkdtemp(dir=tmp)
    for file, text in files.items():
        with open(os.path.join(d, file), "w", encoding="utf-8", newline="") as f:
            f.write(text)
    env = {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C.UTF-8"}
    env.update(environment or {})
    p = subprocess.run([bao, mode] + ["-config=" + file for file in files] + ["-test-verify-only"], cwd=d, env=env, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    shutil.rmtree(d)
    record = {"name": name, "group": group, "mode": mode, "files": files}
    if environment:
        record["environment"] = environment
    record["accepted"] = p.returncode == 0
    if p.returncode != 0:
        message = p.stdout.decode("utf-8", "replace").strip()
        if p.returncode != 1:
            lines = p.stderr.decode("utf-8", "replace").splitlines()
            message = next((x for x in lines if x.startswith("panic:")), "exit status %d: %s" % (p.returncode, message))
        record["bao"] = message.replace(d, "DIR")
    return record


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    seen = set()
    for group, name, mode, files, environment in CASES:
        if (group, name) in seen:
            sys.exit("two cases are named %s %s" % (group, name))
        seen.add((group, name))
    tmp = tempfile.mkdtemp()
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            records = list(pool.map(lambda x: run(os.path.abspath(sys.argv[1]), tmp, x), CASES))
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    with open(os.path.join(HERE, "cases.jsonl"), "w", encoding="utf-8", newline="\n") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=True) + "\n")
    print("cases: %d, accepted %d, refused %d" % (len(records), sum(r["accepted"] for r in records), sum(not r["accepted"] for r in records)))


if __name__ == "__main__":
    main()
