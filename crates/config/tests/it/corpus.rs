//! The same configurations to the real binary and to us: accepted or refused alike, and told in the same words.
//!
//! The verdicts in `tests/corpus` were recorded by `tests/corpus/generate.py`. The real binary was only asked to
//! verify; what it would find out when it starts, we say at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::{Load, agent, proxy};

/// What upstream accepts and we refuse, by the words of our refusal. Every problem we tell must be one of these.
const REFUSED_BY_US: &[(&str, &[&str])] = &[
    ("not built yet", &[" is not built yet in this version of Sidekey"]),
    (
        "upstream finds it out when it starts",
        &[
            "Error creating ",
            "Error initializing telemetry: ",
            "error creating file sink: ",
            "Error starting listener: ",
            "Unknown sink type",
            "auth handler: min_backoff cannot be greater than max_backoff",
            "template: must specify exactly one of 'source' or 'contents'",
            "template: cannot specify both 'source' and 'contents'",
            "template: missing destination",
            "both client cert and client key must be provided",
            "not supported, please specify one of [tls10,tls11,tls12,tls13]",
            "'tls_max_version' must be greater than or equal to 'tls_min_version'",
            "are mutually exclusive",
            "in the address",
        ],
    ),
    ("templates would use the wrapping as a token", &["templates need a token, and auto_auth uses wrapping"]),
    ("TLS without a certificate: upstream asks a public ACME server for one", &["TLS needs `tls_cert_file`"]),
    ("TLS would be weaker than it reads", &["needs `tls_client_ca_file`", "TLS before 1.2 is not spoken"]),
    ("nobody can connect to a socket without a path", &["a unix listener needs an `address`"]),
    (
        "Vault's keys, which bao passes over",
        &[
            "Unknown cache setting for",
            "Unknown api_proxy setting for",
            "the cache must be configured to either cache static secrets or dynamic secrets",
        ],
    ),
    (
        "a fraction of a mode or a user number, which upstream cuts off",
        &["`perms` must be a whole number", "`uid` must be a whole number"],
    ),
    (
        "upstream finds it out when the child cannot be started, or starts it with what nobody can read",
        &[
            "'exec' requires a non-empty 'command' field",
            " is no name of an environment variable",
            "env_template: an environment variable name is required",
        ],
    ),
    ("Vault's key, which bao passes over", &["strconv.ParseFloat: parsing \"x\""]),
];

/// What upstream refuses and we accept, by name.
const ACCEPTED_BY_US: &[(&str, &[&str])] = &[
    (
        "true and false may stand in quotes",
        &[
            "cache/persist \"kubernetes\" { path = \"/c\" keep_after_import = \"true\" }",
            "top_level/exit_after_auth = \"true\"",
            "top_level/proxy exit_after_auth = \"true\"",
            "auto_auth/reauth_string",
            "template_config/exit_on_retry_failure = \"true\"",
            "template/backup = \"true\"",
            "exec/env_template_error_on_missing_key = \"true\"",
            "template/create_dest_dirs = \"true\"",
            "template/error_on_missing_key = \"true\"",
            "json/template_error_on_missing_key_string",
            "json/template_config_bool_string",
            "json/exit_after_auth_string",
            "telemetry/disable_hostname = \"true\"",
        ],
    ),
    (
        "a number where a string is wanted is taken as it was written, and the other way round",
        &[
            "exec/exec_command_numbers",
            "top_level/pid_file = 1.5",
            "template/command = 5",
            "template/command = [5]",
            "template/user = 5",
            "template/uid = \"1\"",
            "template/left_delimiter = 5",
            "template/function_denylist = [5]",
            "template/sandbox_path = 5",
        ],
    ),
    (
        "upstream cannot read its own keys here",
        &[
            "template/exec { env { pristine = true custom = [\"A=b\"] } }",
            "template/exec { kill_signal = \"SIGTERM\" }",
        ],
    ),
    (
        "null means not given",
        &[
            "json/template_null_values",
            "json/template_bool_null",
            "json/exit_after_auth_null",
            "json/log_rotate_bytes_null",
            "json/idle_null",
            "json_auto_auth/method_exit_on_err_null",
        ],
    ),
    (
        "lists of blocks in HCL",
        &[
            "vault/assigned_list",
            "auto_auth/list",
            "cache/list",
            "api_proxy/list",
            "template_config/list",
            "telemetry/list",
            "template/template = [{ contents = \"a\" destination = \"/d\" }]",
        ],
    ),
    (
        "labels and single objects in JSON, wherever they stand",
        &[
            "json/env_template_list_inside",
            "json_auto_auth/sink_object",
            "json_auto_auth/sinks_object",
            "json_auto_auth/method_label",
            "json_auto_auth/method_label_list",
            "json_auto_auth/method_label_list_inside",
            "json_auto_auth/sink_label",
        ],
    ),
    (
        "upstream loses the cache's use_auto_auth_token when there is an api_proxy without one",
        &[
            "validation/cache_use_token_empty_api_proxy_method_only_agent",
            "merge/cache_token_here_api_proxy_there_agent",
        ],
    ),
    (
        "files, a listener and our token in it may stand beside a child",
        &[
            "exec/with_api_proxy",
            "exec/with_implicit_api_proxy",
            "exec/with_template",
            "merge/template_here_env_template_there_agent",
        ],
    ),
    ("a string is a line for the shell", &["exec/exec_command_string", "json/exec_string_command"]),
    (
        "Vault's keys, and ours",
        &[
            "exec/exec_child_process_stderr = \"/a\"",
            "exec/exec_child_process_stdout = \"/a\"",
            "exec/exec_env { pristine = true }",
        ],
    ),
    ("a signal may be named without SIG", &["exec/exec_restart_stop_signal = \"INT\""]),
    (
        "keys of the servers, without meaning here",
        &[
            "top_level/disable_mlock = false",
            "top_level/disable_mlock = \"false\"",
            "top_level/disable_mlock = 0",
            "top_level/proxy disable_mlock = false",
            "top_level/user_lockout \"all\" { lockout_threshold = \"x\" }",
            "top_level/user_lockout { }",
            "merge/disable_mlock_false_in_second_agent",
            "merge/disable_mlock_false_in_second_proxy",
        ],
    ),
];

/// Both refuse, in other words: Go's names of types.
const OTHER_WORDS: &[&str] = &[
    "*ast.",
    "unconvertible type",
    "expected a map or struct",
    "source data must be an array",
    "error converting config",
    "could not parse duration from input",
];

/// Both refuse, in other words or for another reason, by name.
const OTHERWISE: &[(&str, &[&str])] = &[
    (
        "the environment's lists are told of once, not for each file",
        &[
            "environment/BAO_AGENT_DISABLE_IDLE_CONNECTIONS=foo",
            "environment/VAULT_AGENT_DISABLE_IDLE_CONNECTIONS=foo",
            "environment/BAO_AGENT_DISABLE_KEEP_ALIVES=foo",
            "environment/proxy BAO_PROXY_DISABLE_IDLE_CONNECTIONS=foo",
            "environment/proxy VAULT_PROXY_DISABLE_KEEP_ALIVES=foo",
            "environment/proxy BAO_PROXY_DISABLE_IDLE_CONNECTIONS=templating",
        ],
    ),
    (
        "numbers of a `config` are read when they are wanted",
        &[
            "method/config { a = 08 }",
            "method/config { a = 1e }",
            "method/config { a = 9223372036854775808 }",
            "sink/config { mode = 08 }",
            "template/perms = -1",
        ],
    ),
    (
        "a key of files is told as what it is, not as a number that cannot be read",
        &[
            "exec/env_template_perms = \"0600\"",
            "exec/env_template_perms = 0600",
            "exec/env_template_wait { min = \"1s\" max = \"2s\" }",
        ],
    ),
    (
        "keys of the servers' listeners are not looked into; the lack of a certificate is told",
        &[
            "listener/telemetry { unauthenticated_metrics_access = \"x\" }",
            "listener/profiling { unauthenticated_pprof_access = \"x\" }",
            "listener/inflight_requests_logging { unauthenticated_in_flight_requests_access = \"x\" }",
            "listener/proxy_protocol_authorized_addrs = \"x\"",
            "listener/x_forwarded_for_authorized_addrs = \"x\"",
            "listener/cors_enabled = true\n cors_allowed_origins = [\"*\", \"http://a\"]",
            "listener/custom_response_headers { \"default\" = { \"a\" = \"b\" } }",
            "listener/custom_response_headers { \"9xx\" = { \"a\" = [\"b\"] } }",
            "listener/custom_response_headers = 5",
        ],
    ),
    (
        "labels and single objects in JSON, wherever they stand",
        &["json/listener_label_list_inside", "json_auto_auth/method_object_no_sink"],
    ),
];

pub(crate) struct Case {
    pub(crate) name: String,
    proxy: bool,
    pub(crate) files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    accepted: bool,
    bao: String,
}

pub(crate) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/cases.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = text.lines().map(|line| case(&serde_json::from_str(line).unwrap())).collect();
    assert!(cases.len() > 1100, "the corpus shrank to {}", cases.len());
    cases
}

fn case(value: &Value) -> Case {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let pairs = |key: &str| {
        let pairs = value[key].as_object().into_iter().flatten();
        pairs.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
    };
    Case {
        name: format!("{}/{}", text("group"), text("name")),
        proxy: value["mode"] == "proxy",
        files: pairs("files"),
        // What the recording shell had set; `sink/aad_env_var = "HOME"` looks at it.
        environment: [vec![("HOME".to_owned(), "/root".to_owned())], pairs("environment")].concat(),
        accepted: value["accepted"].as_bool().unwrap(),
        bao: text("bao"),
    }
}

impl Case {
    fn load(&self) -> Result<config::Loaded, config::Failure> {
        let pairs: Vec<_> = self.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let load: Load = if self.proxy { proxy() } else { agent() };
        load.environment(&pairs).machine(address).loader().load_texts(self.files.clone())
    }
}

/// A machine with one address.
fn address(template: &str) -> Result<String, String> {
    if template.contains("nosuch }}") {
        let why = "template: sockaddr.Parse:1: function \"nosuch\" not defined";
        return Err(format!("unable to parse template {template:?}: {why}"));
    }
    Ok(template
        .strip_prefix("{{ GetPrivateIP }}")
        .map_or_else(String::new, |rest| format!("192.0.2.2{rest}")))
}

fn reason(line: &str) -> Option<&'static str> {
    let is_one = |words: &&str| line.contains(*words);
    REFUSED_BY_US.iter().find(|(_, words)| words.iter().any(is_one)).map(|(reason, _)| *reason)
}

#[test]
fn accepted_or_refused_as_the_real_binary_does() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases() {
        let listed = ACCEPTED_BY_US.iter().find(|(_, names)| names.contains(&case.name.as_str()));
        let name = &case.name;
        match (case.load(), case.accepted) {
            (Ok(_), true) | (Err(_), false) => {
                if let Some((reason, _)) = listed {
                    wrong.push(format!("{name}: no difference any more ({reason})"));
                }
                *counts.entry("alike").or_default() += 1;
            }
            (Ok(_), false) => match listed {
                Some((reason, _)) => *counts.entry(reason).or_default() += 1,
                None => wrong.push(format!("{name}: we accept; bao: {}", case.bao)),
            },
            (Err(failure), true) => {
                for line in failure.upstream_lines() {
                    match reason(&line) {
                        Some(reason) => *counts.entry(reason).or_default() += 1,
                        None => wrong.push(format!("{name}: we refuse: {line}")),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}\n{counts:#?}", wrong.len(), wrong.join("\n"));
}

#[test]
fn refused_in_the_same_words() {
    let (mut wrong, mut same) = (Vec::new(), 0);
    for case in cases() {
        let Err(failure) = case.load() else { continue };
        let lines = failure.upstream_lines();
        let unbuilt = lines.iter().any(|line| line.contains("is not built yet"));
        if case.accepted || OTHER_WORDS.iter().any(|words| case.bao.contains(words)) {
            continue;
        }
        let listed = OTHERWISE.iter().any(|(_, names)| names.contains(&case.name.as_str()));
        // Each of upstream's lines; a message may hold empty ones. Ours may say a little more at the end.
        let wanted = case.bao.replace("\nerror loading", "\u{0}error loading");
        let found = wanted.split('\0').all(|wanted| lines.iter().any(|line| line.starts_with(wanted)));
        if found == listed && (found || !unbuilt) {
            wrong.push(format!("{} (listed: {listed})\n  bao: {}\n  we:  {lines:?}", case.name, case.bao));
        }
        same += usize::from(found);
    }
    assert!(same > 200, "only {same} in the same words");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
