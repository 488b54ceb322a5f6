//! Files written whole or not at all, and small files read with care.
//!
//! The only crate that writes to the file system. Readers poll the files we write without a lock, and half
//! a token looks to them like a revoked one: so nothing is ever written in place. The order is fixed
//! (temporary file in the same folder, content, owner, mode, fsync, rename, fsync of the folder), and the
//! destination is never opened for writing, so that a planted link, FIFO or device does no harm.
//! A [`KeySource`] is read where a key lies that seals such a file. A [`Sandbox`] opens only what lies in its folder. Nothing here knows what is written.

mod error;
mod folder;
mod identity;
mod key_source;
mod lines;
mod private;
mod read;
mod rotating;
mod sandbox;
mod socket;
mod staged;
mod write;

pub use error::FileError;
pub use folder::{Folder, endangered};
pub use identity::{group_id, user_id};
pub use key_source::{KeyError, KeySource, SHORTEST_KEY};
pub use lines::{open_for_output, open_to_add};
pub use private::open_private;
pub use read::{MAX_SMALL_FILE, is_world_readable, read_regular, read_small, read_stream};
pub use rotating::{RotatingFile, Rotation};
pub use sandbox::Sandbox;
pub use socket::{SocketAttributes, SocketFile, bind_socket};
pub use staged::{Staged, publish};
pub use write::{
    Attributes, Mode, Written, check_writable, create, create_folders, create_folders_as, move_aside, remove,
    remove_stale_temporaries, write, write_if_changed,
};
