//! Taking turns.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every task that is ready now do its part first.
///
/// Whoever has read something waits for its turn before it goes on: then all of them read first and send one after
/// the other, and those who get it find many things to do at once, instead of being woken for each. It costs nothing
/// that can be measured when nobody else is ready.
pub async fn turn() {
    let mut is_over = false;
    poll_fn(|cx| {
        if is_over {
            return Poll::Ready(());
        }
        is_over = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
