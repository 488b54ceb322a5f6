//! Numbers and booleans read as Go's `strconv` reads them, with its error texts.
