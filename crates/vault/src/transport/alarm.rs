//! A timer that stays set between requests: setting one anew for each costs more than all else that waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Rings at a deadline that is moved on with every request.
#[derive(Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `deadline` is over. The timer may be set to an earlier one, of a request that is answered; it is
    /// moved when that one comes.
    pub fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_latest_deadline_and_no_sooner() {
        let (mut alarm, start) = (Alarm::default(), Instant::now());
        for seconds in [5, 20, 3, 60] {
            let deadline = start + Duration::from_secs(seconds);
            let set = poll_fn(|cx| Poll::Ready(alarm.poll(deadline, cx))).await;
            assert!(set.is_pending(), "{seconds}");
        }
        poll_fn(|cx| alarm.poll(start + Duration::from_secs(60), cx)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
        poll_fn(|cx| alarm.poll(start + Duration::from_secs(30), cx)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}
