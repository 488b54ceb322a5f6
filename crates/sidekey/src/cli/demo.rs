//! placeholder while the rooms are joined
use super::Exit;
use clap::Args;
#[derive(Args, Debug)]
pub(super) struct DemoArgs {}
pub(super) fn demo(_: &DemoArgs) -> Exit {
    Exit::Failure
}
