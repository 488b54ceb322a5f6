//! No call takes much time or memory, whatever its arguments: each function is called with every combination of
//! texts, lists and maps that are long, wide, deep or contain themselves.
//!
//! The sizes are such that a quadratic function is far over the bound while linear ones, without optimisation, all
//! together take seconds. What only long texts show, and cannot be told from bounds of ours here, is in the modules'
//! own tests. `SIDEKEY_BOUNDS_SIZE` sets another length of texts, such as the 16777216 of the longest.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use functions::go::time::Time;
use functions::{MAX_ELEMENTS, Profile, entries};
use gotemplate::{Call, Func, Key, Map, Param, Type, Value};
use rustix::time::{ClockId, clock_gettime};

/// Slow on purpose, whatever the arguments: keys, certificates and hashes of passwords. Copies count their steps.
const SLOW: &[&str] =
    &["sprig_gen", "sprig_bcrypt", "sprig_htpasswd", "sprig_derivePassword", "sprig_buildCustomCert"];

struct Palette {
    texts: Vec<Value>,
    others: Vec<Value>,
    /// Contains itself, to be taken apart in the end.
    endless: Map,
}

impl Palette {
    fn new(size: usize) -> Self {
        let filled = |unit: &[u8]| Value::from(unit.repeat(size / unit.len()));
        let texts = vec![
            Value::from(""),
            Value::from("a"),
            Value::from(","),
            filled(b"a"),
            filled(b","),
            filled("é".as_bytes()),
            filled(b"\xff"),
            filled(b"a b-C,1.=\n/"),
            filled(b"0"),
            filled(b"$a$1"),
            Value::from(format!("[{}0]", "{},".repeat(size / 3))),
            filled(b"- \"\\u0041\": [.nan, *a, &b c]\n"),
        ];
        let count = size / 64;
        let ints = Value::list((0..count).map(|nth| Value::int(nth as i64)).collect());
        let same = Value::list(vec![filled(b"a"); 100]);
        let nans = Value::list(vec![Value::from(f64::NAN); count]);
        let lists = Value::list((0..count).map(|nth| Value::list(vec![Value::int(nth as i64)])).collect());
        let strings = Value::strings((0..count).map(|nth| nth.to_string()));
        let map = || (0..count).map(|nth| (format!("{nth}/a/b"), Value::int(nth as i64)));
        let wide = Value::map(map());
        let deep = (0..10_000).fold(Value::Nil, |inner, _| Value::list(vec![inner]));
        let chain = (0..1_000).fold(Value::int(1), |inner, _| Value::map([("k", inner)]));
        let endless = Map::new(Type::Str, Type::Any, map().map(|(key, value)| (Key::str(key), value)));
        endless.insert(Key::str(""), Value::Map(endless.clone()));
        let others = vec![
            Value::Nil,
            Value::int(-1),
            Value::int(1 << 40),
            ints,
            same,
            nans,
            lists,
            strings,
            wide,
            deep,
            chain,
            Value::Map(endless.clone()),
        ];
        Self { texts, others, endless }
    }

    fn values(&self, param: Param) -> Vec<Value> {
        let is =
            |wanted: fn(&Value) -> bool| self.others.iter().filter(|value| wanted(value)).cloned().collect();
        match param {
            Param::Any | Param::Reflect => self.texts.iter().chain(&self.others).cloned().collect(),
            Param::Str => self.texts.clone(),
            Param::Bool => vec![Value::from(true)],
            Param::Int | Param::Int64 => [0, 1, -1, 1 << 20, i64::MAX, i64::MIN].map(Value::int).to_vec(),
            Param::Strings => is(|value| matches!(value, Value::List(list) if *list.element() == Type::Str)),
            Param::Anys => is(|value| matches!(value, Value::List(_))),
            Param::StringMap => is(|value| matches!(value, Value::Map(_))),
            Param::Named("time.Time") => vec![Value::object(Time::now())],
            _ => vec![Value::Nil],
        }
    }
}

/// Every combination of what each parameter can be; fewer behind the first. What large expressions may read is the
/// business of `go::regex`.
fn combinations(palette: &Palette, func: &Func<()>) -> Vec<Vec<Value>> {
    let params = func.params.iter().copied().chain(func.variadic);
    let expression = func.name.to_lowercase().contains("regex");
    params.enumerate().fold(vec![Vec::new()], |known, (nth, param)| {
        let values = match palette.values(param) {
            _ if nth == 0 && expression => ["", "a", "(é|[a-z]|,)+?"].map(Value::from).to_vec(),
            values if nth == 0 || !matches!(param, Param::Any | Param::Str) => values,
            values => values.into_iter().skip(1).step_by(5).collect(),
        };
        let longer = known.iter().flat_map(|begin| {
            values.iter().map(|value| begin.iter().chain([value]).cloned().collect::<Vec<_>>())
        });
        longer.collect()
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The most memory of this process since it was asked the last time, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    // Sets the mark back.
    let mark = std::fs::OpenOptions::new().write(true).open("/proc/self/clear_refs");
    let _ = mark.and_then(|mut mark| mark.write_all(b"5"));
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(u64::MAX) / 1024
}

fn shown(value: &Value) -> String {
    match value {
        Value::Str(text) => {
            format!("{} bytes {:?}", text.len(), String::from_utf8_lossy(&text[..text.len().min(8)]))
        }
        Value::List(list) => format!("{} elements", list.len()),
        Value::Map(map) => format!("{} entries", map.len()),
        Value::Int(_, value) => value.to_string(),
        other => other.type_name(),
    }
}

#[test]
fn no_call_takes_long() {
    let size = std::env::var("SIDEKEY_BOUNDS_SIZE").map_or(2 << 10, |size| size.parse().unwrap());
    let (time, memory) = (Duration::from_secs(1).max(Duration::from_secs(size as u64 >> 20)), 300);
    let palette = Palette::new(size);
    let (mut slow, mut count) = (BTreeSet::new(), 0);
    for entry in entries(Profile::OpenBao) {
        let Call::Pure(call) = entry.func.call else { continue };
        let name = entry.func.name;
        if SLOW.iter().any(|slow| name.starts_with(slow)) {
            continue;
        }
        peak();
        for arguments in combinations(&palette, &entry.func) {
            count += 1;
            let told = arguments.iter().map(shown).collect::<Vec<_>>().join(", ");
            let begin = processor_time();
            let result = call(&arguments);
            let took = processor_time() - begin;
            let elements = match &result {
                Ok(Value::List(list)) => list.len(),
                Ok(Value::Map(map)) => map.len(),
                _ => 0,
            };
            if took > time || elements > MAX_ELEMENTS {
                slow.insert(format!("{name} {told}: {took:?}, {elements} elements\n"));
            }
        }
        let most = peak();
        if most > memory {
            slow.insert(format!("{name}: {most} MiB\n"));
        }
    }
    palette.endless.remove(&Key::str(""));
    assert!(count > 2_000, "only {count} calls");
    assert!(slow.is_empty(), "{}", slow.into_iter().collect::<String>());
}

fn called(name: &str, arguments: Vec<Value>) -> String {
    let mut entries = entries(Profile::OpenBao).filter(|entry| entry.func.name == name);
    match entries.next().map(|entry| entry.func.call) {
        Some(Call::Pure(call)) => {
            call(&arguments).map_or_else(|why| why.to_string(), |value| value.type_name())
        }
        _ => format!("{name} is no function"),
    }
}

/// Sixty lists with two elements each stand for more than there is memory.
#[test]
fn a_list_that_doubles_is_refused() {
    let doubled = (0..60).fold(Value::list(vec![]), |inner, _| Value::list(vec![inner.clone(), inner]));
    let why = "the result has more than 1048576 elements";
    for (name, value) in [
        ("toTOML", Value::map([("k", doubled.clone())])),
        ("toJSON", doubled.clone()),
        ("toYAML", doubled.clone()),
        ("sprig_toJson", doubled),
    ] {
        // YAML is indented, and so too long before.
        let why = if name == "toYAML" { "the result is larger than 16 MiB" } else { why };
        assert!(called(name, vec![value]).ends_with(why), "{name}");
    }
}

/// A map of many entries that contains itself: whatever is kept of it at each level must end.
#[test]
fn a_wide_map_in_itself_is_refused() {
    let entries = (0..200_000).map(|nth| (Key::str(nth.to_string()), Value::Nil));
    let map = Map::new(Type::Str, Type::Any, entries);
    map.insert(Key::str(""), Value::Map(map.clone()));
    peak();
    for name in ["toJSON", "toTOML", "sprig_toJson"] {
        assert!(called(name, vec![Value::Map(map.clone())]).contains("more than 1048576 elements"), "{name}");
    }
    let most = peak();
    map.remove(&Key::str(""));
    assert!(most < 400, "{most} MiB");
}

#[test]
fn what_has_too_many_elements_is_refused() {
    let bytes = |text: String| Value::from(text);
    let many = 1 << 20;
    for (name, arguments) in [
        ("split", vec![Value::from(","), bytes("a,".repeat(many))]),
        ("sprig_split", vec![Value::from(","), bytes(",".repeat(many))]),
        ("sprig_splitList", vec![Value::from(""), bytes("a".repeat(many + 1))]),
        ("splitToMap", vec![Value::from(","), Value::from("="), bytes("a,".repeat(many))]),
        ("sprig_until", vec![Value::int(many as i64 + 1)]),
        ("sprig_untilStep", vec![Value::int(0), Value::int(i64::MAX), Value::int(2)]),
        ("parseJSON", vec![bytes(format!("[{}0]", "{},".repeat(many / 4)))]),
        ("sprig_fromJson", vec![bytes(format!("[{}0]", "{},".repeat(many / 4)))]),
        ("sprig_mustFromJson", vec![bytes(format!("[{}0]", "0,".repeat(many)))]),
        ("parseYAML", vec![bytes(format!("[{}]", "{},".repeat(many / 4)))]),
        (
            "explodeMap",
            vec![Value::map((0..300).map(|nth| (format!("{nth}{}", "/a".repeat(900)), Value::Nil)))],
        ),
    ] {
        assert_eq!(called(name, arguments), "the result has more than 1048576 elements", "{name}");
    }
    let list = || Value::list(vec![Value::int(1); many]);
    for name in ["sprig_append", "sprig_prepend", "sprig_concat"] {
        let why = called(name, vec![list(), list()]);
        assert_eq!(why, "the result has more than 1048576 elements", "{name}");
    }
    assert_eq!(called("sprig_seq", vec![Value::int(1 << 40)]), "the result is larger than 16 MiB");
}

/// Short texts that would be long in memory: a text or tag that many nodes share.
#[test]
fn what_many_nodes_share_is_there_once() {
    peak();
    let text = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(1000));
    assert_eq!(called("parseYAML", vec![Value::from(text)]), "[]interface {}");
    let text = format!("%TAG !e! {}\n---\n{}", "x".repeat(1 << 20), "- !e!a b\n".repeat(1000));
    assert_eq!(called("parseYAML", vec![Value::from(text)]), "the result is larger than 16 MiB");
    let most = peak();
    assert!(most < 300, "{most} MiB");
}

/// NaN equals nothing, so all would be compared with all.
#[test]
fn what_cannot_be_told_apart_soon_ends() {
    let list = Value::list(vec![Value::from(f64::NAN); 1 << 20]);
    assert_eq!(called("sprig_uniq", vec![list]), "it takes more than 5 seconds");
}

/// The engine looks at the clock between calls, so a call that takes long looks itself.
#[test]
fn a_parser_notices_soon_that_there_is_no_time_left() {
    let most = Duration::from_millis(20);
    for (name, text) in [
        ("parseYAML", "- a\n".repeat(4 << 20)),
        ("parseYAML", "a: \"b\\n\"\n".repeat(1 << 20)),
        ("parseYAML", format!("\"{}\"", "\\u0041 ".repeat(2 << 20))),
        ("parseYAML", "x".repeat(16 << 20)),
        ("parseYAML", " ".repeat(16 << 20)),
        ("parseYAML", format!("[{}]", "a,".repeat(8 << 20))),
        ("parseYAML", format!("|\n{}", " a\n".repeat(5 << 20))),
        ("parseJSON", format!("[{}0]", "0,".repeat(1 << 19))),
        ("sprig_fromJson", format!("[{}0]", "[0],".repeat(1 << 17))),
    ] {
        let arguments = vec![Value::from(text)];
        let begin = processor_time();
        let (said, _) = functions::within(None, most, || called(name, arguments.clone()));
        let took = processor_time() - begin;
        let told = shown(&arguments[0]);
        assert_eq!(said, "the template has computed for too long", "{name} {told}");
        // Reading all of it takes seconds here, without optimisation.
        assert!(took < most * 10, "{name} {told}: {took:?}");
    }
}
