//! `telemetry { … }`: what becomes of numbers.

use crate::decode::{Block, Fields};
use crate::settings::Profile;

/// Where numbers go and what they are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// First word of the names that upstream has too: `vault`, `bao`, or `metrics_prefix`.
    pub prefix: String,
    /// Whether Prometheus' format is served: only with the stanza, and not with a `prometheus_retention_time` of 0.
    pub prometheus: bool,
    /// `host:port` of a statsd, over UDP.
    pub statsd: Option<String>,
    /// `host:port` of a dogstatsd, over UDP, and the tags that everything gets there.
    pub dogstatsd: Option<(String, Vec<String>)>,
    /// `host:port` of a statsite, over TCP.
    pub statsite: Option<String>,
    /// Whether names that no rule fits are told.
    pub filter_default: bool,
    /// Beginnings of names, and whether these are told.
    pub filters: Vec<(String, bool)>,
}

/// The stanza as it was read.
#[derive(Debug)]
pub(crate) struct RawTelemetry {
    prefix: Option<String>,
    settings: Telemetry,
}

pub(crate) const PREFIX: &str = "error parsing 'telemetry': ";

/// Upstream's others, for services that we do not speak to.
const OTHERS: &[&str] = &[
    "circonus_api_app",
    "circonus_api_token",
    "circonus_api_url",
    "circonus_broker_id",
    "circonus_broker_select_tag",
    "circonus_check_display_name",
    "circonus_check_force_metric_activation",
    "circonus_check_id",
    "circonus_check_instance_id",
    "circonus_check_search_tag",
    "circonus_check_tags",
    "circonus_submission_interval",
    "circonus_submission_url",
    "stackdriver_debug_logs",
    "stackdriver_location",
    "stackdriver_namespace",
    "stackdriver_project_id",
];

impl Telemetry {
    /// With or without a stanza. A proxy of either kind says `vault`, as both do.
    pub(crate) fn of(raw: Option<RawTelemetry>, product: vault::Product, profile: Profile) -> Self {
        let usual = match (product, profile) {
            (vault::Product::Agent, Profile::OpenBao) => "bao",
            _ => "vault",
        };
        let (prefix, settings) = match raw {
            Some(raw) => (raw.prefix, raw.settings),
            None => (None, Self::silent()),
        };
        Self { prefix: prefix.unwrap_or_else(|| usual.to_owned()), ..settings }
    }

    /// Without a stanza.
    fn silent() -> Self {
        Self {
            prefix: String::new(),
            prometheus: false,
            statsd: None,
            dogstatsd: None,
            statsite: None,
            filter_default: true,
            filters: Vec::new(),
        }
    }
}

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> RawTelemetry {
    let fields = file.inside("telemetry", block, PREFIX);
    let retention = fields.duration("prometheus_retention_time");
    let dogstatsd = address(&fields, "dogstatsd_addr");
    let tags = fields.strings("dogstatsd_tags").unwrap_or_default();
    let settings = Telemetry {
        prefix: String::new(),
        prometheus: retention.is_none_or(|retention| retention.positive().is_some()),
        statsd: address(&fields, "statsd_address"),
        dogstatsd: dogstatsd.map(|address| (address, tags)),
        statsite: address(&fields, "statsite_address"),
        filter_default: fields.strict_bool("filter_default").unwrap_or(true),
        filters: filters(&fields),
    };
    // We never put host names into names, which is what upstream's users switch off first.
    fields.strict_bool("disable_hostname");
    if fields.strict_bool("enable_hostname_label") == Some(true) {
        let hint = "Prometheus and the Datadog agent add it themselves";
        fields.warn(fields.key_span("enable_hostname_label"), "no host name is added to metrics here", hint);
    }
    // They tune what only the servers measure.
    fields.strict_bool("add_lease_metrics_namespace_labels");
    let numbers = fields.with_more_prefix("telemetry: ");
    numbers.integer("maximum_gauge_cardinality");
    numbers.integer("num_lease_metrics_buckets");
    if fields.text("usage_gauge_period").is_none_or(|period| period != "none") {
        fields.duration("usage_gauge_period");
    }
    fields.duration("lease_metrics_epsilon");
    fields.text("circonus_check_force_metric_activation");
    fields.strict_bool("stackdriver_debug_logs");
    fields.ignore(&["maximum_gauge_cardinality", "num_lease_metrics_buckets"]);
    for key in OTHERS {
        if fields.has(key) {
            let service = key.split('_').next().unwrap_or_default();
            let message = format!("`{key}` has no effect: metrics are not sent to {service}");
            fields.warn(
                fields.key_span(key),
                message,
                "Prometheus, statsd, dogstatsd and statsite are served",
            );
        }
    }
    let prefix = fields.filled("metrics_prefix");
    fields.finish();
    RawTelemetry { prefix, settings }
}

/// `host:port`.
fn address(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let address = fields.filled(key)?;
    let sound = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !sound {
        let start = fields.with_prefix("").at_start("Error initializing telemetry: ");
        start.refuse_with(
            fields.span_of(key),
            format!("{key} is no address: {address:?}"),
            "write host and port: \"127.0.0.1:8125\"",
        );
    }
    Some(address)
}

fn filters(fields: &Fields<'_>) -> Vec<(String, bool)> {
    let start = fields.with_prefix("").at_start("Error initializing telemetry: ");
    let mut rules = Vec::new();
    for rule in fields.strings("prefix_filter").unwrap_or_default() {
        let span = fields.span_of("prefix_filter");
        match (rule.strip_prefix('+'), rule.strip_prefix('-')) {
            (Some(prefix), _) => rules.push((prefix.to_owned(), true)),
            (_, Some(prefix)) => rules.push((prefix.to_owned(), false)),
            _ if rule.is_empty() => start.refuse(span, "cannot have empty filter rule in prefix_filter"),
            _ => start.refuse(span, format!("filter rule must begin with either '+' or '-': {rule:?}")),
        }
    }
    rules
}
