//! One event into one line, as hclog writes it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use jiff::Zoned;
use jiff::fmt::strtime;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Style {
    /// `2026-11-21T21:55:30.784Z [INFO]  agent.sink.file: token written: path=/x`
    #[default]
    Standard,
    /// `{"@level":"info","@message":…,"@module":…,"@timestamp":…,…}`
    Json,
}

/// Formats events for one product.
pub(crate) struct Hclog {
    pub(crate) style: Style,
    /// `agent` or `proxy`.
    pub(crate) root: &'static str,
}

impl<S, N> FormatEvent<S, N> for Hclog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(known) = span.extensions().get::<FormattedFields<N>>() {
                fields.pairs.extend(kept(&known.fields));
            }
        }
        let target = event.metadata().target();
        let module = match target {
            "" | "root" => self.root.to_owned(),
            target => format!("{}.{target}", self.root),
        };
        let now = Zoned::now();
        let line = match self.style {
            Style::Standard => standard(&now, *event.metadata().level(), &module, &fields),
            Style::Json => json(&now, *event.metadata().level(), &module, &fields),
        };
        writer.write_str(&line)
    }
}

/// The fields of an event, in order; numbers stay numbers for JSON.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        // Raw identifiers (`r#type`) print without their marker already.
        self.pairs.push((Cow::Borrowed(field.name()), value));
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.push(field, text.into()) }
    }
}

/// How the fields of a span wait for their lines: as JSON, whatever the lines look like.
pub(crate) struct Kept;

impl<'writer> FormatFields<'writer> for Kept {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, span: R) -> fmt::Result {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let object: serde_json::Map<String, Value> =
            fields.pairs.into_iter().map(|(key, value)| (key.into_owned(), value)).collect();
        write!(writer, "{}", Value::Object(object))
    }
}

/// What [`Kept`] wrote.
fn kept(text: &str) -> impl Iterator<Item = (Cow<'static, str>, Value)> {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    fields.into_iter().map(|(key, value)| (Cow::Owned(key), value))
}

/// `DATE [LEVEL] module: message: key=value key=value`.
fn standard(now: &Zoned, level: Level, module: &str, fields: &Fields) -> String {
    let mut line = timestamp(now, 3);
    let level = match level {
        Level::ERROR => "[ERROR]",
        Level::WARN => "[WARN] ",
        Level::INFO => "[INFO] ",
        Level::DEBUG => "[DEBUG]",
        Level::TRACE => "[TRACE]",
    };
    let _ = write!(line, " {level} {module}: {}", escape(&fields.message));
    if !fields.pairs.is_empty() {
        line.push(':');
    }
    let mut after_block = false;
    for (key, value) in &fields.pairs {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.contains('\n') {
            let _ = write!(line, "\n  {key}=");
            for part in text.trim_end_matches('\n').split('\n') {
                let _ = write!(line, "\n  | {}", escape(part));
            }
            after_block = true;
            continue;
        }
        line.push_str(if after_block { "\n   " } else { " " });
        after_block = false;
        let plain =
            text.chars().all(|c| !c.is_control() && c != ' ' && c != '"' && c != '=') && !text.is_empty();
        match plain {
            true => drop(write!(line, "{key}={text}")),
            false => drop(write!(line, "{key}={}", quoted(&text))),
        }
    }
    line.push('\n');
    line
}

/// Go's quoting, near enough: backslash, quote and control characters escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// No byte of a log line drives a terminal or forges a second line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn json(now: &Zoned, level: Level, module: &str, fields: &Fields) -> String {
    let mut pairs: Vec<(&str, Value)> = vec![
        ("@level", level.as_str().to_ascii_lowercase().into()),
        ("@message", fields.message.clone().into()),
        ("@module", module.into()),
        ("@timestamp", timestamp(now, 6).into()),
    ];
    pairs.extend(fields.pairs.iter().map(|(key, value)| (key.as_ref(), value.clone())));
    let object: serde_json::Map<String, Value> = pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    format!("{}\n", Value::Object(object))
}

/// Local time, `Z` in UTC. With 3 digits the offset has no colon, with 6 it has one: so upstream writes its
/// text and its JSON lines.
fn timestamp(now: &Zoned, digits: u8) -> String {
    let utc = now.offset().seconds() == 0;
    let format = match (digits, utc) {
        (3, true) => "%Y-%m-%dT%H:%M:%S%.3fZ",
        (3, false) => "%Y-%m-%dT%H:%M:%S%.3f%z",
        (_, true) => "%Y-%m-%dT%H:%M:%S%.6fZ",
        (_, false) => "%Y-%m-%dT%H:%M:%S%.6f%:z",
    };
    strtime::format(format, now).unwrap_or_else(|_| now.timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str) -> Zoned {
        let instant: jiff::Timestamp = "2026-11-21T22:13:44.061242Z".parse().unwrap();
        instant.to_zoned(jiff::tz::TimeZone::get(zone).unwrap())
    }

    fn fields(message: &str, pairs: &[(&'static str, Value)]) -> Fields {
        let pairs = pairs.iter().map(|(key, value)| (Cow::Borrowed(*key), value.clone())).collect();
        Fields { message: message.to_owned(), pairs }
    }

    #[test]
    fn standard_lines_are_hclogs() {
        let line = standard(
            &at("Asia/Tokyo"),
            Level::INFO,
            "agent.sink.file",
            &fields("file sink configured", &[("path", "/x".into()), ("mode", "-rw-r-----".into())]),
        );
        assert_eq!(
            line,
            "2026-11-22T07:13:44.061+0900 [INFO]  agent.sink.file: file sink configured: path=/x mode=-rw-r-----\n"
        );
        let line = standard(
            &at("UTC"),
            Level::WARN,
            "agent",
            &fields("odd", &[("error", "no type provided".into())]),
        );
        assert_eq!(line, "2026-11-21T22:13:44.061Z [WARN]  agent: odd: error=\"no type provided\"\n");
    }

    #[test]
    fn values_of_several_lines_are_blocks() {
        let pairs = [("error", "Error making API request.\n\n* invalid".into()), ("backoff", "1s".into())];
        let line =
            standard(&at("UTC"), Level::ERROR, "agent.auth.handler", &fields("error authenticating", &pairs));
        assert_eq!(
            line,
            "2026-11-21T22:13:44.061Z [ERROR] agent.auth.handler: error authenticating:\n  error=\n  \
             | Error making API request.\n  | \n  | * invalid\n   backoff=1s\n"
        );
    }

    #[test]
    fn json_lines_are_hclogs() {
        let line = json(
            &at("Asia/Tokyo"),
            Level::INFO,
            "agent.sink.file",
            &fields("token written", &[("mode", 416.into())]),
        );
        assert_eq!(
            line,
            "{\"@level\":\"info\",\"@message\":\"token written\",\"@module\":\"agent.sink.file\",\
             \"@timestamp\":\"2026-11-22T07:13:44.061242+09:00\",\"mode\":416}\n"
        );
    }

    #[test]
    fn no_line_can_be_forged() {
        let forged = fields("request", &[("path", "/v1/x\r[ERROR] \u{1b}[2J".into())]);
        let line = standard(&at("UTC"), Level::INFO, "agent", &forged);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains(['\r', '\u{1b}']), "{line:?}");
    }
}
