//! The configurations of `docs/auth` are right.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{put, sidekey};

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/auth");
    let mut pages: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

/// The blocks marked `hcl` are whole configurations.
fn configurations(page: &str) -> Vec<&str> {
    page.split("```hcl\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn the_configurations_of_all_pages_pass_a_strict_check() {
    let folder = tempfile::tempdir().unwrap();
    for page in pages() {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        let found = configurations(&text);
        assert!(name == "README" || !found.is_empty(), "{name} has no configuration");
        for (nth, configuration) in found.into_iter().enumerate() {
            assert!(configuration.contains(&format!("method \"{name}\"")), "{name}: {configuration}");
            let file = folder.path().join(format!("{name}-{nth}.hcl"));
            put(&file, configuration);
            let output =
                Command::new(sidekey()).arg("check").arg(&file).arg("-strict").output().await.unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn every_page_has_its_row() {
    let readme = pages().into_iter().find(|page| page.ends_with("README.md")).unwrap();
    let table = std::fs::read_to_string(readme).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || table.contains(&format!("]({name})")), "{name} is not in the table");
    }
}
