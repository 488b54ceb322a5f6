//! What an earlier run left on disk, taken in at the start.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tracing::info;

use super::Shared;
use crate::disk::{Disk, Opened};
use crate::kv::Lasting;
use crate::renewals::News;
use crate::store::disk::Clocks;

/// What became of the file of an earlier run.
#[derive(Default)]
pub(super) struct TakenIn {
    pub(super) disk: Option<Disk>,
    pub(super) changed: Option<Arc<Notify>>,
    pub(super) lasting: Option<Lasting>,
}

/// Takes in what an earlier run left, and has changes noted from here on.
pub(super) fn take_in(shared: &Shared, file: Option<Opened>, news: &mpsc::UnboundedSender<News>) -> TakenIn {
    let Some(Opened { disk, records, secrets, left_out, damaged, keeps_secrets, root }) = file else {
        return TakenIn::default();
    };
    let mut store = shared.store();
    let changed = disk.as_ref().map(|_| store.keep_journal());
    store.leave_out(&left_out);
    if !records.is_empty() || damaged > 0 || !left_out.records.is_empty() {
        let restored = store.restore(records, Clocks::read(&shared.clock), fastrand::f64);
        for (id, at) in restored.due {
            // Fails only at the end of the program.
            let _ = news.send(News::At(id, at));
        }
        let entries = restored.entries;
        let (ended, too_many) = (restored.ended + left_out.ended, restored.too_many + left_out.too_many);
        info!(target: "cache.persist", entries, ended, too_many, damaged, "the cache of the last run is taken in");
    }
    let lasting = keeps_secrets.then(|| Lasting { root, left: secrets, news: changed.clone() });
    TakenIn { disk, changed, lasting }
}
