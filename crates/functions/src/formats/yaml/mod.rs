//! YAML as yaml.v2 reads and writes it.
