//! Flags, help, `check`, `version`.

use tokio::process::Command;

use crate::{put, sidekey};

async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(sidekey()).args(arguments).output().await.unwrap();
    (
        output.status.code(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

#[tokio::test]
async fn help_is_there_in_every_spelling() {
    for arguments in [
        &["-h"][..],
        &["--help"],
        &["-help"],
        &["agent", "-h"],
        &["agent", "-help"],
        &["check", "--help"],
        &["help"],
    ] {
        let (code, output) = run(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(output.contains("Usage: sidekey"), "{output}");
    }
    let (_, output) = run(&["agent", "-help"]).await;
    insta::assert_snapshot!(output);
}

#[tokio::test]
async fn mistakes_on_the_command_line_are_gos() {
    let (code, output) = run(&["agent", "-bogus"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("flag provided but not defined: -bogus"), "{output}");
    let (code, output) = run(&["agent", "-confg=x"]).await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("flag provided but not defined: -confg") && output.contains("did you mean -config?"),
        "{output}"
    );
    let (code, output) = run(&["agent", "-config=/x", "-exit-after-auth=maybe"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("maybe"), "{output}");
    assert_eq!(run(&[]).await.0, Some(1));
    assert_eq!(run(&["nosuch"]).await.0, Some(1));
}

/// Whatever it prints: somebody who stops reading is no error, and a full disk is one.
#[tokio::test]
async fn nobody_reads_what_is_printed_or_it_cannot_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.hcl"), folder.path().join("bad.hcl"));
    put(&good, "listener \"tcp\" {\n tls_disable = true\n}\ncache {}\n");
    put(&bad, "nonsense = {");
    let template = folder.path().join("a.ctmpl");
    put(&template, &"x".repeat(1_000_000));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    for (arguments, code) in [
        (vec!["check".to_owned(), path(&good)], 0),
        (vec!["check".to_owned(), path(&bad)], 1),
        (vec!["version".to_owned()], 0),
        (vec!["agent".to_owned(), "-help".to_owned()], 0),
        (vec!["agent".to_owned(), "-config".to_owned(), path(&bad)], 1),
        (vec!["template".to_owned(), "functions".to_owned()], 0),
        (vec!["template".to_owned(), "test".to_owned(), path(&template)], 0),
    ] {
        let ended = async |output: std::process::Stdio| {
            let mut command = Command::new(sidekey());
            let program =
                command.args(&arguments).stdout(output).stderr(std::process::Stdio::piped()).spawn();
            let output = program.unwrap().wait_with_output().await.unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(ended(writer.into()).await, (Some(code), String::new()), "{arguments:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let told = match arguments.first().unwrap().as_str() {
            // Its help is printed by the command line; when it fails, nobody asks for what it has printed.
            "agent" if code == 1 => "",
            _ => "error: cannot write to standard output: No space left on device (os error 28)\n",
        };
        assert_eq!(ended(full.into()).await, (Some(1), told.to_owned()), "{arguments:?}");
    }
    // Complaints that nobody takes are lost, and no more.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(sidekey()).arg("-bogus").stderr(full).status().await.unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn version_in_every_spelling() {
    for arguments in [&["version"][..], &["-version"], &["--version"], &["-v"]] {
        assert_eq!(
            run(arguments).await,
            (Some(0), format!("Sidekey v{}\n", env!("CARGO_PKG_VERSION"))),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn check_opens_and_contacts_nothing_and_tells_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.hcl");
    let path = file.to_str().unwrap();
    put(
        &file,
        "vault { address = \"https://192.0.2.1:8200\" ca_cert = \"/nonexistent\" }\nlistener \"tcp\" { address = \"127.0.0.1:1\" tls_disable = true }\n",
    );
    let (code, output) = run(&["check", path]).await;
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "ok: agent with no auto_auth, 1 listener and 0 templates\n")
    );

    put(&file, "listener \"tcp\" {\n  adress = \"127.0.0.1:1\"\n  tls_disable = true\n}\n");
    let (code, output) = run(&["check", path]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("warning") && output.contains("adress") && output.contains("did you mean `address`?"),
        "{output}"
    );
    assert_eq!(run(&["check", path, "-strict"]).await.0, Some(1));
}

#[tokio::test]
async fn the_page_of_functions_is_what_the_program_says() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/templates.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, listed) = page.split_once("-format=markdown\" -->\n").unwrap();
    let (code, output) = run(&["template", "functions", "-format=markdown"]).await;
    assert_eq!(code, Some(0));
    assert!(
        listed == output,
        "write the end of docs/templates.md anew: sidekey template functions -format=markdown"
    );
}

#[tokio::test]
async fn functions_are_listed_and_found() {
    let (code, output) = run(&["template", "functions", "-format=json"]).await;
    let all: serde_json::Value = serde_json::from_str(&output).unwrap();
    let all = all.as_array().unwrap();
    assert!(code == Some(0) && all.len() > 290, "{} functions", all.len());
    let of = |profile: &str| all.iter().filter(|one| one["profile"] == profile).count();
    assert!(of("openbao") > 10 && of("vault") > 0 && of("both") > 200, "{output}");
    for field in ["name", "signature", "summary", "example", "output"] {
        assert!(all.iter().all(|one| one[field].as_str().is_some()), "{field}");
    }
    let (code, output) = run(&["template", "functions", "B64ENC"]).await;
    assert!(
        code == Some(0) && output.contains("sprig_b64enc text") && !output.contains("toUpper"),
        "{output}"
    );
    let (code, output) = run(&["template", "functions", "-profile=vault", "sprig_uuidv4"]).await;
    assert!(code == Some(1) && output.contains("no function's name holds"), "{output}");
    assert_eq!(run(&["template", "functions", "-profile=consul"]).await.0, Some(1));
}

#[tokio::test]
async fn a_template_is_tested_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let [file, data, expected] = ["a.ctmpl", "data.json", "expected"].map(|name| folder.path().join(name));
    let [path, with, expect] = [
        file.display().to_string(),
        format!("-data={}", data.display()),
        format!("-expect={}", expected.display()),
    ];
    put(
        &data,
        r#"{"secrets": {"secret/app": {"data": {"data": {"password": "hunter2"}}}}, "env": {"STAGE": "x"}}"#,
    );
    put(
        &file,
        "{{ with secret \"secret/data/app\" }}{{ .Data.data.password }}{{ end }} {{ env \"STAGE\" }}\n",
    );
    let test = ["template", "test", &path, &with];
    assert_eq!(run(&test).await, (Some(0), "hunter2 x\n".to_owned()));

    put(&expected, "hunter2 x\n");
    let compare = ["template", "test", &path, &with, &expect];
    assert_eq!(run(&compare).await, (Some(0), String::new()));
    put(&expected, "hunter3 x\n");
    let (code, output) = run(&compare).await;
    assert!(code == Some(1) && output.contains("-hunter3 x\n+hunter2 x\n"), "{output}");

    put(&file, "one\n{{ b64enc \"x\" }}\n");
    let (code, output) = run(&test).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("a.ctmpl:2:4") && output.contains("did you mean \"sprig_b64enc\"?"), "{output}");
    assert!(output.contains("2 | {{ b64enc \"x\" }}\n  |    ^^^^^^"), "{output}");

    put(&file, "{{ with secret \"secret/other\" }}{{ end }}");
    let (code, output) = run(&test).await;
    assert!(code == Some(1) && output.contains("secret/other") && output.contains("secret/app"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
    put(&data, "{");
    assert!(run(&test).await.1.contains("data.json: the fixtures are not what they should be"));
}
