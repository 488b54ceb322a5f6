//! TOML as BurntSushi/toml 1.5 writes it.
