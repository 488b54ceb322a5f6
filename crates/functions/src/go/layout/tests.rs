use super::*;
use crate::go::time::Zone;

fn at(unix: i64, nanosecond: u32, zone: &str) -> Time {
    Time::new(unix, nanosecond, Zone::Utc).in_zone(Zone::load(zone).unwrap())
}

fn formatted(time: &Time, layout: &str) -> String {
    String::from_utf8(format(time, layout.as_bytes())).unwrap()
}

#[test]
fn layouts_are_examples() {
    let utc = at(1_770_091_506, 78_000_000, "UTC");
    for (layout, text) in [
        ("2006-01-02T15:04:05Z07:00", "2026-02-03T04:05:06Z"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Feb  3 04:05:06 UTC 2026"),
        ("Monday, 02-Jan-06 3:4:5 PM", "Tuesday, 03-Feb-26 4:5:6 AM"),
        ("15:04:05.000", "04:05:06.078"),
        ("15:04:05.999999", "04:05:06.078"),
        ("15:04:05.00", "04:05:06.07"),
        ("002 __2 Janet", "034  34 Janet"),
        ("_2006 -07:00:00 Z070000", "_2026 +00:00:00 Z"),
        ("plain text", "plain text"),
        ("", ""),
    ] {
        assert_eq!(formatted(&utc, layout), text, "{layout}");
    }
    assert_eq!(formatted(&at(0, 0, "Asia/Kolkata"), "-07:00 -0700 Z07:00"), "+05:30 +0530 +05:30");
}

#[test]
fn years_far_away_follow_the_zone_rules_of_today() {
    let text = |unix| formatted(&at(unix, 0, "America/New_York"), "2006-01-02 15:04:05 MST -07:00:00");
    assert_eq!(text(999_999_999_999), "33658-09-26 21:46:39 EDT -04:00:00");
    assert_eq!(text(-9_999_999_999), "1653-02-10 01:17:19 LMT -04:56:02");
}

#[test]
fn what_was_written_is_read() {
    let time = at(1_770_091_506, 78_000_000, "UTC");
    for layout in
        ["Mon, 02 Jan 2006 15:04:05.000 MST", "2006-01-02T15:04:05.999Z07:00", "2006.002 3:04:05,000pm"]
    {
        let text = format(&time, layout.as_bytes());
        let again = parse(layout.as_bytes(), &text).unwrap();
        assert_eq!((again.unix(), again.nanosecond()), (time.unix(), time.nanosecond()), "{layout}");
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    let pieces: [&[u8]; 12] = [
        b"2006", b"-07:00", b"Z070000", b".000", b",99", b"\xff", b" ", b"MST", b"pm", b"002", b"__2",
        b"GMT+",
    ];
    for first in pieces {
        for second in pieces {
            for third in pieces {
                let layout = [first, second, third].concat();
                let _ = parse(&layout, &layout);
                let _ = parse(&layout, &[third, second, first].concat());
                let _ = format(&at(i64::MIN, 1, "UTC"), &layout);
            }
        }
    }
}
