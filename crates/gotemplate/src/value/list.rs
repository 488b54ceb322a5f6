//! Lists, and how nested values are dropped.

use std::sync::Arc;

use super::{Type, Value};

/// A slice with the type of its elements. A nil slice is empty but known as nil (JSON writes it `null`).
#[derive(Clone)]
pub struct List {
    pub(super) element: Arc<Type>,
    pub(super) items: Option<Arc<Items>>,
}

/// The elements; dropping them never recurses, however deep lists are nested.
pub(super) struct Items(Vec<Value>);

impl List {
    /// A list of elements of one type.
    pub fn new(element: Type, items: Vec<Value>) -> Self {
        Self { element: Arc::new(element), items: Some(Arc::new(Items(items))) }
    }

    /// A nil list.
    pub fn nil(element: Type) -> Self {
        Self { element: Arc::new(element), items: None }
    }

    /// The type of the elements.
    pub fn element(&self) -> &Type {
        &self.element
    }

    /// The elements.
    pub fn items(&self) -> &[Value] {
        self.items.as_ref().map_or(&[], |items| &items.0)
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a nil list, not only an empty one.
    pub fn is_nil(&self) -> bool {
        self.items.is_none()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        drop_all(std::mem::take(&mut self.0));
    }
}

/// Drops values with a stack of its own: a template can nest lists deeper than a thread's stack.
pub(super) fn drop_all(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(List { items: Some(items), .. }) => {
                if let Some(mut items) = Arc::into_inner(items) {
                    pending.append(&mut items.0);
                }
            }
            Value::Map(map) => pending.extend(map.into_values()),
            _ => {}
        }
    }
}
