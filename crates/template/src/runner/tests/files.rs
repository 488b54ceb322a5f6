//! Files that somebody else removes or changes.
#![expect(clippy::disallowed_methods, reason = "files of a test's own folder")]

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_as_it_was_left_is_put_back() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.shared.static_secret_render_interval = Duration::from_secs(1);
    stage.template("out", VALUE);
    let _running = stage.start();
    stage.ready.wait().await;
    let path = stage.path("out");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    for harm in ["removed", "overwritten", "opened", "replaced"] {
        match harm {
            "removed" => std::fs::remove_file(&path).unwrap(),
            "overwritten" => std::fs::write(&path, "two").unwrap(),
            "opened" => std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap(),
            _ => {
                std::fs::write(stage.path("new"), "one").unwrap();
                std::fs::rename(stage.path("new"), &path).unwrap();
            }
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!((stage.read("out").as_str(), mode()), ("one", 0o600), "{harm}");
        // Whoever does it again at once has a minute.
        std::fs::write(&path, "theirs").unwrap();
        sleep(Duration::from_secs(50)).await;
        assert_eq!(stage.read("out"), "theirs", "{harm}");
        sleep(Duration::from_secs(12)).await;
        assert_eq!(stage.read("out"), "one", "{harm}");
        sleep(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_templates_with_one_file_do_not_put_it_back_in_turn() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.shared.static_secret_render_interval = Duration::from_secs(1);
    stage.template("out", VALUE).shares_file = true;
    stage.template("out", &format!("{VALUE} again")).shares_file = true;
    let _running = stage.start();
    stage.ready.wait().await;
    sleep(Duration::from_secs(5)).await;
    let look = || crate::output::Look::at(&stage.path("out"));
    let before = look();
    sleep(Duration::from_secs(300)).await;
    assert!(before.is_some() && before == look());
}
