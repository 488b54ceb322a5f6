//! No call takes much time or memory, whatever its arguments: each function is called with every combination of
//! texts, lists and maps that are long, wide, deep or contain themselves.
//!
//! The sizes are such that a quadratic function is far over the bound while linear ones, without optimisation, all
//! together take seconds. `SIDEKEY_BOUNDS_SIZE` sets another length of texts, such as the 16777216 of the longest.

use std::collections::BTreeSet;
use std::time::Duration;

use functions::go::time::Time;
use functions::{MAX_ELEMENTS, Profile, entries};
use gotemplate::{Call, Func, Key, Map, Param, Type, Value};
use rustix::time::{ClockId, clock_gettime};

/// Slow or demanding on purpose, whatever the arguments: keys, certificates and hashes of passwords.
const SLOW: &[&str] = &["sprig_gen", "sprig_bcrypt", "sprig_htpasswd", "sprig_derivePassword", "sprig_buildCustomCert"];

struct Palette {
    texts: Vec<Value>,
    others: Vec<Value>,
    /// Two of one map that contain themselves, to be taken apart in the end.
    endless: Vec<Map>,
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
        let doubled = (0..60).fold(Value::list(vec![]), |inner, _| Value::list(vec![inner.clone(), inner]));
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
            doubled,
            deep,
            chain,
            Value::Map(endless.clone()),
        ];
        Self { texts, others, endless: vec![endless] }
    }

    fn values(&self, param: Param) -> Vec<Value> {
        let is = |wanted: fn(&Value) -> bool| self.others.iter().filter(|value| wanted(value)).cloned().collect();
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

/// Every combination of what each parameter can be; only texts and short things beyond the second.
fn combinations(palette: &Palette, func: &Func<()>) -> Vec<Vec<Value>> {
    let params = func.params.iter().copied().chain(func.variadic);
    params.enumerate().fold(vec![Vec::new()], |known, (nth, param)| {
        let values = palette.values(param);
        let values = if nth == 0 || !matches!(param, Param::Any) { values } else { values.into_iter().skip(1).step_by(3).collect() };
        let longer = known.iter().flat_map(|begin| values.iter().map(|value| [begin.as_slice(), &[value.clone()]].concat()));
        longer.collect()
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The most memory of this process since it was asked the last time, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    // Sets the mark back.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Str(text) => format!("{} bytes {:?}", text.len(), String::from_utf8_lossy(&text[..text.len().min(8)])),
        Value::List(list) => format!("{} elements", list.len()),
        Value::Map(map) => format!("{} entries", map.len()),
        Value::Int(_, value) => value.to_string(),
        other => other.type_name(),
    };
    text
}

#[test]
fn no_call_takes_long() {
    let size = std::env::var("SIDEKEY_BOUNDS_SIZE").map_or(16 << 10, |size| size.parse().unwrap());
    let (time, memory) = (Duration::from_millis(500).max(Duration::from_secs(size as u64 >> 20)), 300);
    let palette = Palette::new(size);
    let (mut slow, mut count) = (BTreeSet::new(), 0);
    let only = std::env::var("ONLY").ok();
    for entry in entries(Profile::OpenBao) {
        let Call::Pure(call) = entry.func.call else { continue };
        let name = entry.func.name;
        if SLOW.iter().any(|slow| name.starts_with(slow)) || only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let (begin_all, mut worst) = (processor_time(), 0);
        for arguments in combinations(&palette, &entry.func) {
            count += 1;
            let told = arguments.iter().map(shown).collect::<Vec<_>>().join(", ");
            peak();
            let begin = processor_time();
            let result = call(arguments);
            let took = processor_time() - begin;
            let most = peak();
            worst = worst.max(most);
            let elements = match &result {
                Ok(Value::List(list)) => list.len(),
                Ok(Value::Map(map)) => map.len(),
                _ => 0,
            };
            if took > time || most > memory || elements > MAX_ELEMENTS {
                let text = format!("{name} {told}: {took:?}, {most} MiB, {elements} elements\n");
                eprint!("{text}");
                slow.insert(text);
            }
        }
        if std::env::var_os("TELL").is_some() {
            eprintln!("{name} {:?} {worst}", processor_time() - begin_all);
        }
    }
    for map in &palette.endless {
        map.remove(&Key::str(""));
    }
    assert!(count > 5_000, "only {count} calls");
    assert!(slow.is_empty(), "{}", slow.into_iter().collect::<String>());
}
