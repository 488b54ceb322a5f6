use super::*;

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn snapshot(logins: u64, slow: u64) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.counter("vault.agent.auth.success", "logins", &[], logins);
    snapshot.gauge("sidekey.leases", "leases", &[("identity", "a \"b\"\n")], 2.0);
    let histogram = Histogram { bounds: vec![0.1, 1.0], counts: vec![1, slow, 0], sum: 0.5 };
    snapshot.histogram("sidekey.upstream_request_seconds", "how long", &[], histogram);
    snapshot
}

#[test]
fn prometheus_reads_it() {
    assert_eq!(
        snapshot(3, 2).prometheus(),
        "# HELP vault_agent_auth_success logins\n# TYPE vault_agent_auth_success counter\n\
         vault_agent_auth_success 3\n\
         # HELP sidekey_leases leases\n# TYPE sidekey_leases gauge\n\
         sidekey_leases{identity=\"a \\\"b\\\"\\n\"} 2\n\
         # HELP sidekey_upstream_request_seconds how long\n# TYPE sidekey_upstream_request_seconds histogram\n\
         sidekey_upstream_request_seconds_bucket{le=\"0.1\"} 1\n\
         sidekey_upstream_request_seconds_bucket{le=\"1\"} 3\n\
         sidekey_upstream_request_seconds_bucket{le=\"+Inf\"} 3\n\
         sidekey_upstream_request_seconds_sum 0.5\n\
         sidekey_upstream_request_seconds_count 3\n"
    );
}

#[test]
fn an_interval_tells_what_happened_in_it() {
    let mut intervals = Intervals::new(at(1_000_007));
    let first = intervals.json(&snapshot(3, 0));
    assert!(first.contains("\"Name\":\"vault.agent.auth.success\",\"Count\":3,\"Rate\":0.3"), "{first}");
    intervals.next(at(1_000_010), snapshot(3, 0));
    intervals.next(at(1_000_020), snapshot(4, 5));
    let told: serde_json::Value = serde_json::from_str(&intervals.json(&snapshot(9, 9))).unwrap();
    assert_eq!(told["Timestamp"], "1970-01-12 13:46:50 +0000 UTC");
    assert_eq!(told["Points"], serde_json::json!([]));
    assert_eq!(
        told["Counters"][0].to_string(),
        "{\"Name\":\"vault.agent.auth.success\",\"Count\":1,\"Rate\":0.1,\"Sum\":1,\"Min\":1,\"Max\":1,\
         \"Mean\":1,\"Stddev\":0,\"Labels\":{}}"
    );
    assert_eq!(told["Samples"][0]["Count"].to_string(), "5");
    assert_eq!(told["Gauges"][0]["Value"].to_string(), "2");
    // Nothing happened: no counter is told, as upstream does it.
    intervals.next(at(1_000_030), snapshot(4, 5));
    let quiet: serde_json::Value = serde_json::from_str(&intervals.json(&snapshot(4, 5))).unwrap();
    assert_eq!(quiet["Counters"], serde_json::json!([]));
}

#[test]
fn a_dump_has_a_line_a_number() {
    let intervals = Intervals::new(at(1_000_007));
    let dump = intervals.dump(&snapshot(3, 0));
    assert!(
        dump.starts_with("[1970-01-12 13:46:40 +0000 UTC][G] 'sidekey.leases.a \"b\"_': 2.000\n"),
        "{dump}"
    );
    assert!(dump.contains("][C] 'vault.agent.auth.success': Count: 3 Sum: 3.000\n"), "{dump}");
}

#[test]
fn statsd_reads_it() {
    let lines = snapshot(3, 2).statsd(Tags::InName);
    assert_eq!(lines[0], "vault.agent.auth.success:3|c");
    assert_eq!(lines[1], "sidekey.leases.a_\"b\"_:2|g");
    let mut dotted = Snapshot::default();
    dotted.gauge("sidekey.build_info", "what it is", &[("version", "0.1.0")], 1.0);
    assert_eq!(dotted.statsd(Tags::InName), ["sidekey.build_info.0_1_0:1|g"]);
    let more = ["env:prod".to_owned()];
    assert_eq!(snapshot(3, 2).statsd(Tags::Dog(&more))[1], "sidekey.leases:2|g|#identity:a \"b\"_,env:prod");
}

#[test]
fn the_longest_rule_counts() {
    let rules = vec![("vault".to_owned(), false), ("vault.agent.auth".to_owned(), true)];
    let filter = Filter { default: true, rules };
    let told = |name: &str| filter.allows(name);
    assert_eq!(
        [told("vault.agent.auth.success"), told("vault.agent.proxy.error"), told("sidekey.leases")],
        [true, false, true]
    );
}
