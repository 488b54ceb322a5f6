//! When the driver acts, under a paused clock. The processes are real, and none has to do anything in time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Until that many were started; the clock moves meanwhile.
async fn started(record: &Record, count: u64) {
    while record.starts() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_is_killed_when_its_time_is_over() {
    // A signal that it does not mind, and none at all.
    for stop_signal in [Some(Signal::WINCH), None] {
        let began = Instant::now();
        let zoo = Zoo::with(|_| Settings { stop_signal, ..settings(&["sleep", "600"]) });
        zoo.ask(Asked::Stop).await;
        assert_eq!(zoo.keeper.await.unwrap(), Outcome::Stopped);
        // Its burial takes as long as the system takes, five seconds of ours at most, twice with its group.
        let took = began.elapsed();
        assert!(took >= 30 * SECOND && took < 41 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_patience_it_is_killed_at_once() {
    let began = Instant::now();
    let zoo = Zoo::with(|_| Settings { stop_signal: None, ..settings(&["sleep", "600"]) });
    zoo.ask(Asked::StopNow).await;
    assert_eq!(zoo.keeper.await.unwrap(), Outcome::Stopped);
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "processes need real time")]
async fn a_change_waits_for_further_ones() {
    let record = Arc::<Record>::default();
    let zoo = Zoo::with(|_| Settings {
        change_delay: 2 * SECOND,
        record: Arc::clone(&record),
        ..settings(&["sleep", "600"])
    });
    started(&record, 1).await;
    let first = record.process_id();
    for value in ["two", "three"] {
        zoo.variables.send_replace(variables(value));
        tokio::time::sleep(1900 * SECOND / 1000).await;
        // Whatever was signalled too soon has time to end; the clock stands still meanwhile.
        tokio::task::spawn_blocking(|| std::thread::sleep(SECOND / 10)).await.unwrap();
        assert_eq!((record.starts(), record.process_id(), record.last_ending()), (1, first, None));
    }
    let began = Instant::now();
    started(&record, 2).await;
    let took = began.elapsed();
    assert!(took >= SECOND / 10 - SECOND / 100 && took < 45 * SECOND, "{took:?}");
    zoo.keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_waits_ever_longer() {
    let began = Instant::now();
    // The sixth time it ends well. While it runs nothing is due, so the clock stands still.
    let line = "echo x; test $(wc -l < /proc/$$/fd/1) -ge 6";
    let zoo = Zoo::shell(line, |settings| Settings { on_exit: OnExit::RestartFailed, ..settings });
    assert_eq!(zoo.keeper.await.unwrap(), Outcome::Ended(Ending::Code(0)));
    // 1, 2, 4, 8 and 16 seconds, each less up to a half.
    let took = began.elapsed();
    assert!(took >= 31 * SECOND / 2 && took <= 32 * SECOND, "{took:?}");
}
