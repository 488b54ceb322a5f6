//! A whole HTTP/2 connection: nothing stays behind, and every connection ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let writes = proxy::fuzzing::frames(data);
    let pieces: Vec<&[u8]> = writes.iter().map(Vec::as_slice).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { return };
    let outcome = runtime.block_on(proxy::fuzzing::connection(&pieces, true));
    assert!(outcome.closed, "{outcome:?}");
    assert_eq!(outcome.left_over, (0, 0));
});
