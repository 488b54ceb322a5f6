//! `telemetry` and `access_log`.

use crate::{AUTH, agent};

#[test]
fn numbers_go_where_the_stanza_says() {
    let of = |text: &str| agent().fine(&format!("{AUTH}{text}")).settings.telemetry;
    let without = of("");
    assert_eq!((without.prefix.as_str(), without.prometheus), ("vault", false));
    let telemetry = of(
        "telemetry {\n dogstatsd_addr = \"d:8125\"\n dogstatsd_tags = [\"env:prod\"]\n statsd_address = \"127.0.0.1:8125\"\n metrics_prefix = \"ours\"\n prefix_filter = [\"+ours.agent\", \"-ours\"]\n filter_default = false\n}\n",
    );
    assert!(telemetry.prometheus && !telemetry.filter_default);
    assert_eq!(telemetry.prefix, "ours");
    assert_eq!(telemetry.statsd.as_deref(), Some("127.0.0.1:8125"));
    assert_eq!(telemetry.dogstatsd, Some(("d:8125".to_owned(), vec!["env:prod".to_owned()])));
    assert_eq!(telemetry.filters, [("ours.agent".to_owned(), true), ("ours".to_owned(), false)]);
    assert!(!of("telemetry { prometheus_retention_time = 0 }").prometheus);
    let warned = agent().fine(&format!("{AUTH}telemetry {{ circonus_api_token = \"t\" }}\n")).warnings;
    assert!(warned[0].message.contains("metrics are not sent to circonus"), "{warned:?}");
    for (text, problem) in [
        ("telemetry { statsd_address = \"nowhere\" }", "statsd_address is no address"),
        ("telemetry { prefix_filter = [\"x\"] }", "filter rule must begin with either '+' or '-'"),
        ("access_log { }", "an access log needs a `path`"),
    ] {
        let lines = agent().lines(&format!("{AUTH}{text}\n"));
        assert!(lines[0].contains(problem), "{lines:?}");
    }
    let log =
        |path: &str| agent().fine(&format!("{AUTH}access_log {{ path = \"{path}\" }}\n")).settings.access_log;
    assert_eq!(log("stderr"), Some(config::AccessLog::StandardError));
    assert_eq!(log("/l"), Some(config::AccessLog::File("/l".into())));
}
