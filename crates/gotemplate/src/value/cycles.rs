//! Maps that hold themselves. They are legal, as in Go, which has a collector for them; reference counts have none.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::Value;
use super::map::Entries;

/// Maps that were given something which may hold them in turn.
#[derive(Default)]
struct Suspects {
    maps: Vec<Weak<Entries>>,
    /// With so many, those that are gone or there twice are left out.
    enough: usize,
}

thread_local! {
    static SUSPECTS: RefCell<Option<Suspects>> = const { RefCell::new(None) };
}

/// Runs an evaluation and frees what it left behind: a map that it changed and that outlives it is held by itself
/// alone, so it is emptied. Nothing that comes out of `evaluation`, or lives on beside it, may hold such a map.
pub fn without_cycles<R>(evaluation: impl FnOnce() -> R) -> R {
    // Emptied behind a panic, too.
    let _scope = Scope(SUSPECTS.replace(Some(Suspects::default())));
    evaluation()
}

struct Scope(Option<Suspects>);

impl Drop for Scope {
    fn drop(&mut self) {
        let suspects = SUSPECTS.replace(self.0.take());
        for map in suspects.into_iter().flat_map(|suspects| suspects.maps) {
            if let Some(entries) = map.upgrade() {
                entries.clear();
            }
        }
    }
}

/// A map is about to get this value.
pub(super) fn suspect(entries: &Arc<Entries>, value: &Value) {
    if !matches!(value, Value::Map(_) | Value::List(_) | Value::Object(_)) {
        return;
    }
    SUSPECTS.with_borrow_mut(|suspects| {
        let Some(Suspects { maps, enough }) = suspects else { return };
        if maps.len() >= *enough {
            maps.retain(|map| map.strong_count() > 0);
            maps.sort_unstable_by_key(Weak::as_ptr);
            maps.dedup_by(|one, other| one.ptr_eq(other));
            *enough = maps.len() * 2 + 1024;
        }
        maps.push(Arc::downgrade(entries));
    });
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{Key, Map, Object, Type};

    struct Probe;

    impl Object for Probe {
        fn type_name(&self) -> Cow<'static, str> {
            "probe".into()
        }
    }

    fn map_with(probe: &Arc<dyn Object>) -> Map {
        Map::new(Type::Str, Type::Any, [(Key::str("probe"), Value::Object(Arc::clone(probe)))])
    }

    #[test]
    fn a_map_in_itself_is_freed_with_what_it_holds() {
        let probe: Arc<dyn Object> = Arc::new(Probe);
        without_cycles(|| {
            let (outer, inner) = (map_with(&probe), map_with(&probe));
            for _ in 0..5_000 {
                outer.insert(Key::str("inner"), Value::list(vec![Value::Map(inner.clone())]));
                inner.insert(Key::str("outer"), Value::Map(outer.clone()));
            }
            SUSPECTS.with_borrow(|suspects| assert!(suspects.as_ref().unwrap().maps.len() < 2_000));
        });
        assert_eq!(Arc::strong_count(&probe), 1);
    }

    #[test]
    fn what_is_held_elsewhere_and_was_not_changed_stays() {
        let probe: Arc<dyn Object> = Arc::new(Probe);
        let data = map_with(&probe);
        without_cycles(|| {
            let own = map_with(&probe);
            own.insert(Key::str("data"), Value::Map(data.clone()));
        });
        assert_eq!((data.len(), Arc::strong_count(&probe)), (1, 2));
    }
}
