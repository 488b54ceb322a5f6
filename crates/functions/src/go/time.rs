//! `time.Time` as templates see it: fields none, methods many.
