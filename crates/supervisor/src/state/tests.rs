use super::*;

fn settings() -> Settings {
    Settings {
        command: vec!["app".to_owned()],
        environment: Vec::new(),
        stdout: None,
        stderr: None,
        on_change: OnChange::Restart,
        on_exit: OnExit::End,
        stop_signal: Some(Signal::TERM),
        stop_timeout: Duration::from_secs(30),
        change_delay: Duration::from_secs(2),
        parent_death_signal: None,
        guard: Vec::new(),
        record: Arc::default(),
    }
}

fn variables(value: &str) -> Arc<Variables> {
    Arc::new(Variables::new([("A".into(), value.into())]))
}

/// A state with a clock of its own.
struct Stage {
    state: State,
    start: Instant,
    now: Instant,
}

impl Stage {
    fn new(settings: &Settings) -> Self {
        let now = Instant::now();
        Self { state: State::new(settings), start: now, now }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.state.step(event, self.now, 1.0)
    }

    /// Waits for the deadline; gives what is due then, and after how many seconds.
    fn wait(&mut self) -> (f64, Vec<Action>) {
        let before = self.now;
        self.now = self.state.deadline().expect("nothing is due");
        assert_eq!(self.state.step(Event::Tick, before.min(self.now - Duration::from_nanos(1)), 1.0), []);
        (self.now.duration_since(before).as_secs_f64(), self.step(Event::Tick))
    }

    fn after(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    /// A child that runs with value 1.
    fn running(settings: &Settings) -> Self {
        let mut stage = Self::new(settings);
        assert_eq!(stage.step(Event::Ready(variables("1"))), [Action::Start(variables("1"))]);
        assert_eq!(stage.step(Event::Started), []);
        stage
    }
}

fn stopping() -> Vec<Action> {
    vec![Action::Tell(Told::Stopping), Action::Signal(Signal::TERM)]
}

#[test]
fn it_starts_at_once_and_a_change_waits_for_further_ones() {
    let mut stage = Stage::running(&settings());
    // The same again, after a new login say.
    assert_eq!(stage.step(Event::Ready(variables("1"))), []);
    assert_eq!(stage.state.deadline(), None);
    assert_eq!(stage.step(Event::Ready(variables("2"))), []);
    stage.after(1.5);
    assert_eq!(stage.step(Event::Ready(variables("3"))), []);
    assert_eq!(stage.wait(), (2.0, stopping()));
    assert_eq!(stage.step(Event::Ended(Ending::Code(0))), []);
    assert!(stage.state.waits_for_group());
    assert_eq!(stage.step(Event::GroupGone), [Action::Start(variables("3"))]);
    assert_eq!(stage.step(Event::Started), []);
    assert_eq!(stage.state.deadline(), None);
}

#[test]
fn changes_without_end_are_acted_upon_in_the_end() {
    let mut stage = Stage::running(&settings());
    for value in 2..=11 {
        assert_eq!(stage.step(Event::Ready(variables(&value.to_string()))), []);
        assert_eq!(stage.step(Event::Tick), []);
        stage.after(1.0);
    }
    assert_eq!(stage.step(Event::Tick), stopping());
    assert_eq!(stage.now.duration_since(stage.start).as_secs(), 10);
}

#[test]
fn what_changes_while_it_is_stopped_is_what_it_is_started_with() {
    let mut stage = Stage::running(&settings());
    stage.step(Event::Ready(variables("2")));
    stage.wait();
    assert_eq!(stage.step(Event::Ready(variables("3"))), []);
    stage.step(Event::Ended(Ending::Signal(15)));
    assert_eq!(stage.step(Event::GroupGone), [Action::Start(variables("3"))]);
    stage.step(Event::Started);
    assert_eq!(stage.state.deadline(), None, "it is restarted for what it has");
}

#[test]
fn a_signal_or_nothing_instead_of_a_restart() {
    let mut stage = Stage::running(&Settings { on_change: OnChange::signal(Signal::HUP), ..settings() });
    stage.step(Event::Ready(variables("2")));
    assert_eq!(stage.wait(), (2.0, vec![Action::Signal(Signal::HUP)]));
    // The greatest of what is asked for together counts.
    stage.step(Event::Ready(variables("3")));
    stage.step(Event::Changed(OnChange::Restart));
    stage.step(Event::Changed(OnChange::signal(Signal::USR1)));
    assert_eq!(stage.wait(), (2.0, stopping()));

    let mut stage = Stage::running(&Settings { on_change: OnChange::Nothing, ..settings() });
    assert_eq!(stage.step(Event::Ready(variables("2"))), [Action::Tell(Told::NotRestarting)]);
    assert_eq!(stage.state.deadline(), None);
}

#[test]
fn who_does_not_listen_is_killed_and_started_again() {
    let mut stage = Stage::running(&settings());
    stage.step(Event::Ready(variables("2")));
    stage.wait();
    assert_eq!(stage.wait(), (30.0, vec![Action::Tell(Told::Late), Action::Kill]));
    // Not even that: two at a time may be worse than none.
    assert_eq!(stage.wait(), (5.0, vec![Action::Tell(Told::Unkillable), Action::Kill]));
    stage.step(Event::Ended(Ending::Signal(9)));
    assert_eq!(stage.step(Event::GroupGone), [Action::Start(variables("2"))]);
}

#[test]
fn what_a_child_has_started_gets_the_rest_of_its_time() {
    let mut stage = Stage::running(&settings());
    assert_eq!(stage.step(Event::Stop), stopping());
    stage.after(10.0);
    assert_eq!(stage.step(Event::Ended(Ending::Code(0))), []);
    assert_eq!(stage.wait(), (20.0, vec![Action::Tell(Told::Late), Action::Kill]));
    assert_eq!(stage.wait(), (5.0, vec![Action::End(Outcome::Stopped)]));
}

#[test]
fn its_end_is_ours() {
    for ending in [Ending::Code(0), Ending::Code(7), Ending::Signal(9)] {
        let mut stage = Stage::running(&settings());
        stage.step(Event::Ready(variables("2")));
        assert_eq!(stage.step(Event::Ended(ending)), [Action::End(Outcome::Ended(ending))]);
        assert_eq!(stage.state.deadline(), None);
    }
    assert_eq!([Ending::Code(7), Ending::Code(256), Ending::Signal(9)].map(Ending::code), [7, 0, 137]);
    assert_eq!(Ending::Code(7).to_string(), "process exited with 7");
    assert_eq!(Ending::Signal(9).to_string(), "process exited with 137 (killed by signal 9)");
}

#[test]
fn stopping_is_possible_at_any_time() {
    let mut stage = Stage::new(&settings());
    assert_eq!(stage.step(Event::Stop), [Action::End(Outcome::Stopped)]);

    let mut stage = Stage::new(&settings());
    stage.step(Event::Ready(variables("1")));
    assert_eq!(stage.step(Event::Stop), []);
    assert_eq!(stage.step(Event::Started), stopping());

    // While it is restarted.
    let mut stage = Stage::running(&settings());
    stage.step(Event::Ready(variables("2")));
    stage.wait();
    assert_eq!(stage.step(Event::Stop), []);
    stage.step(Event::Ended(Ending::Code(3)));
    assert_eq!(stage.step(Event::GroupGone), [Action::End(Outcome::Stopped)]);

    let mut stage = Stage::running(&settings());
    stage.step(Event::Stop);
    assert_eq!(stage.step(Event::StopNow), [Action::Kill]);
    let given_up = vec![Action::Tell(Told::Unkillable), Action::End(Outcome::Stopped)];
    assert_eq!(stage.wait(), (5.0, given_up));
    assert_eq!(Stage::running(&settings()).step(Event::StopNow), [Action::Kill]);
    assert_eq!(Stage::new(&settings()).step(Event::StopNow), [Action::End(Outcome::Stopped)]);
}

#[test]
fn without_a_stop_signal_there_is_only_patience() {
    let mut stage = Stage::running(&Settings { stop_signal: None, ..settings() });
    assert_eq!(stage.step(Event::Stop), [Action::Tell(Told::Stopping)]);
    assert_eq!(stage.wait(), (30.0, vec![Action::Tell(Told::Late), Action::Kill]));
}

#[test]
fn signals_are_handed_on_while_there_is_somebody() {
    let mut stage = Stage::new(&settings());
    assert_eq!(stage.step(Event::Forward(Signal::HUP)), []);
    let mut stage = Stage::running(&settings());
    assert_eq!(stage.step(Event::Forward(Signal::HUP)), [Action::Signal(Signal::HUP)]);
    stage.step(Event::Stop);
    assert_eq!(stage.step(Event::Forward(Signal::USR1)), [Action::Signal(Signal::USR1)]);
    stage.step(Event::Ended(Ending::Code(0)));
    assert_eq!(stage.step(Event::Forward(Signal::HUP)), []);
}

#[test]
fn who_cannot_be_started_is_told() {
    let why = || "no such file".to_owned();
    for on_exit in [OnExit::End, OnExit::Restart] {
        let mut stage = Stage::new(&Settings { on_exit, ..settings() });
        stage.step(Event::Ready(variables("1")));
        assert_eq!(stage.step(Event::NotStarted(why())), [Action::End(Outcome::NotStarted(why()))]);
    }
    // A program that is being replaced.
    let mut stage = Stage::running(&Settings { on_exit: OnExit::RestartFailed, ..settings() });
    stage.step(Event::Ended(Ending::Code(1)));
    stage.wait();
    let told = Told::Restarting { why: why(), pause: Duration::from_secs(2) };
    assert_eq!(stage.step(Event::NotStarted(why())), [Action::Tell(told)]);
}

#[test]
fn a_crash_loop_slows_down_and_forgets_once_it_was_well() {
    let mut stage = Stage::running(&Settings { on_exit: OnExit::Restart, ..settings() });
    for (ran, pause) in [(0, 1), (0, 2), (0, 4), (59, 8), (0, 16), (0, 32), (0, 60), (0, 60), (60, 1), (0, 2)]
    {
        stage.after(f64::from(ran));
        let told =
            Told::Restarting { why: "process exited with 0".to_owned(), pause: Duration::from_secs(pause) };
        assert_eq!(stage.step(Event::Ended(Ending::Code(0))), [Action::Tell(told)]);
        // What changes meanwhile is no reason to hurry.
        let now = variables(&stage.now.duration_since(stage.start).as_secs().to_string());
        assert_eq!(stage.step(Event::Ready(Arc::clone(&now))), []);
        assert_eq!(stage.wait(), (f64::from(u32::try_from(pause).unwrap()), vec![Action::Start(now)]));
        stage.step(Event::Started);
    }
    let mut stage = Stage::running(&Settings { on_exit: OnExit::RestartFailed, ..settings() });
    assert_eq!(stage.step(Event::Ended(Ending::Code(0))), [Action::End(Outcome::Ended(Ending::Code(0)))]);
}

#[test]
fn whatever_chance_says_a_crash_loop_starts_ten_times_a_minute_at_most() {
    let mut stage = Stage::running(&Settings { on_exit: OnExit::Restart, ..settings() });
    let mut starts = 1;
    loop {
        stage.state.step(Event::Ended(Ending::Code(1)), stage.now, 0.0);
        stage.wait();
        if stage.now.duration_since(stage.start) > Duration::from_secs(60) {
            break;
        }
        starts += 1;
        stage.step(Event::Started);
    }
    assert!(starts <= 10, "{starts}");
}

#[test]
fn a_restart_waits_for_its_program_and_looks_again() {
    let mut stage = Stage::running(&settings());
    stage.step(Event::Ready(variables("2")));
    stage.now = stage.state.deadline().unwrap();
    assert!(stage.state.restart_is_due(stage.now));
    for _ in 0..3 {
        let why = "gone".to_owned();
        let told = Told::NoProgram { why: why.clone(), pause: Duration::from_secs(5) };
        assert_eq!(stage.step(Event::NoProgram(why)), [Action::Tell(told)]);
        assert!(!stage.state.restart_is_due(stage.now));
        stage.now = stage.state.deadline().unwrap();
        assert!(stage.state.restart_is_due(stage.now));
    }
    assert_eq!(stage.now.duration_since(stage.start).as_secs(), 2 + 3 * 5);
    assert_eq!(stage.step(Event::Tick), stopping());
}

#[test]
fn who_cannot_be_killed_is_tried_again_once_a_minute_and_nobody_takes_its_place() {
    let mut stage = Stage::running(&settings());
    stage.step(Event::Ready(variables("2")));
    stage.wait();
    stage.wait();
    for after in [5.0, 60.0, 60.0] {
        assert_eq!(stage.wait(), (after, vec![Action::Tell(Told::Unkillable), Action::Kill]));
    }
    stage.step(Event::Ended(Ending::Signal(9)));
    assert_eq!(stage.wait(), (60.0, vec![Action::Start(variables("2"))]));
}
