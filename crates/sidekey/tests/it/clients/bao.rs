//! The command line client of OpenBao.

use super::{Front, comparable, same};
use crate::put;

/// Where it asks, and with which token, by its environment.
struct Way<'a> {
    area: &'static str,
    environment: Vec<(&'a str, String)>,
}

/// What a user types. Of a line that ends with `|` the output is left out, as there is a time in it, and of one with
/// `~`, as it is about the token.
const SHORT: &str = "
kv put -mount=secret AREA/app color=blue |
kv get -mount=secret -field=color AREA/app
kv list -mount=secret AREA
kv get -mount=secret AREA/none
write plain/AREA/a b/ünï/日本 name=x
read -field=name plain/AREA/a b/ünï/日本
write plain/AREA/large @large.json
read -field=k9 plain/AREA/large
token lookup -format=json ~
";

/// The same and more.
const MORE: &str = "
kv patch -mount=secret AREA/app size=7 |
kv put -mount=secret -cas=9 AREA/app size=8
kv get -mount=secret -field=size AREA/app
list secret/metadata/AREA
scan secret/metadata/AREA
kv delete -mount=secret AREA/app
kv get -mount=secret AREA/app |
kv metadata delete -mount=secret AREA/app
kv get -mount=secret AREA/app
kv put -mount=plain AREA/app color=blue
kv get -mount=plain -format=json -field=color AREA/app
kv list -mount=plain AREA
kv delete -mount=plain AREA/app
kv get -mount=plain AREA/app
write plain/AREA/a+b;c~d'e name=y
read -field=name plain/AREA/a+b;c~d'e
write plain/AREA/per%cent name=z
read -field=name plain/AREA/per%cent
write plain/AREA/escaped%2Fslash name=s
read -field=name plain/AREA/escaped%2Fslash
read -field=name plain/AREA/escaped/slash
write plain/AREA/what?x=1 name=q
read -field=name plain/AREA/what?x=1
write plain/AREA//twice/ name=t
list plain/AREA/
delete plain/AREA/a b/ünï/日本
write -field=token_policies auth/approle/login role_id=ROLE_ID secret_id=SECRET_ID
write auth/approle/login role_id=ROLE_ID secret_id=wrong
unwrap s.none
write secret/data/AREA/x no=data
write sys/host-info a=b
read nowhere/at/all
path-help sys/mounts
write -namespace=team own/AREA of=team
read -namespace=team -field=of own/AREA
read -namespace=none own/AREA
policy read client
token capabilities secret/data/AREA
status -format=json |
token renew -format=json ~
";

impl Front {
    /// What one command said: code, output and errors.
    async fn bao(&self, way: &Way<'_>, words: &[String]) -> (i32, String) {
        let mut command = self.command(self.stage.server.binary());
        command.args(words).current_dir(self.stage.folder.path()).env("BAO_MAX_RETRIES", "0");
        command.envs(way.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().await.unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), format!("{said}{errors}"))
    }

    /// What a user types, a line of outcome for each.
    async fn outcomes(&self, way: &Way<'_>, commands: &[&str]) -> Vec<String> {
        let (role_id, secret_id) = &self.stage.credentials;
        let (mut outcomes, mut everything) = (Vec::new(), String::new());
        for line in commands.iter().flat_map(|commands| commands.trim().lines()) {
            let (line, silent) = match line.strip_suffix(" |").or(line.strip_suffix(" ~")) {
                Some(line) => (line, true),
                None => (line, false),
            };
            let words = words(line).into_iter().map(|word| {
                word.replace("AREA", way.area).replace("ROLE_ID", role_id).replace("SECRET_ID", secret_id)
            });
            let (code, said) = self.bao(way, &words.collect::<Vec<_>>()).await;
            everything.push_str(&said);
            let said = if silent { String::new() } else { told(&said, way) };
            outcomes.push(format!("{line}: {code} {said}"));
        }
        self.is_silent(&everything).await;
        outcomes
    }

    /// What takes several steps: a wrapped answer, and a child with a token of its own.
    async fn several_steps(&self, way: &Way<'_>) {
        let (code, wrapped) =
            self.bao(way, &words("read -wrap-ttl=60s -field=wrapping_token plain/steady")).await;
        assert_eq!(code, 0, "{wrapped}");
        let unwrap = words(&format!("unwrap -field=n {}", wrapped.trim()));
        assert_eq!(self.bao(way, &unwrap).await, (0, "1".into()));
        assert_eq!(self.bao(way, &unwrap).await.0, 2);
        let (code, child) = self.bao(way, &words("token create -field=token -ttl=1h")).await;
        assert_eq!(code, 0, "{child}");
        let environment = way.environment.iter().cloned().chain([("BAO_TOKEN", child.clone())]).collect();
        let own = Way { area: way.area, environment };
        assert_eq!(self.bao(&own, &words("token lookup -field=id")).await, (0, child));
        assert_eq!(self.bao(&own, &words("token revoke -self")).await.0, 0);
        let (code, said) = self.bao(&own, &words("token lookup")).await;
        assert!(code == 2 && said.contains("Code: 403"), "{said}");
    }
}

/// The words of a line. Only a path may have a space in it: `plain/AREA/a b/…`.
fn words(line: &str) -> Vec<String> {
    line.replace("/a b/", "/a\u{1}b/").split(' ').map(|word| word.replace('\u{1}', " ")).collect()
}

/// What it said, without what names the way: the address in an error.
fn told(said: &str, way: &Way<'_>) -> String {
    let lines = comparable(said, way.area).into_iter().filter(|line| !line.starts_with("URL: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn command_line() {
    let mut front = Front::start("proxy").await;
    // Of 5 MB, and more than the listener `small` takes.
    for (name, keys) in [("large.json", 10), ("medium.json", 6)] {
        let values: Vec<_> = (0..keys).map(|n| format!("\"k{n}\": \"{}\"", "x".repeat(500_000))).collect();
        put(&front.stage.path(name), &format!("{{{}}}", values.join(",")));
    }
    let ca = ("BAO_CACERT", front.ca.to_str().unwrap().to_owned());
    let way = |area, environment: &[(&'static str, String)]| Way { area, environment: environment.to_vec() };
    let direct =
        way("directly", &[("BAO_ADDR", front.stage.server.address()), ("BAO_TOKEN", front.token.clone())]);
    let unix = format!("unix://{}", front.socket.display());
    let ways = [
        way("by-plain", &[("BAO_ADDR", front.plain.clone())]),
        way("by-agent", &[("BAO_AGENT_ADDR", front.plain.clone())]),
        way("by-tls", &[("BAO_ADDR", front.tls.clone()), ca]),
        way("by-unix", &[("BAO_ADDR", unix)]),
    ];
    let (right, through) =
        tokio::join!(front.outcomes(&direct, &[SHORT, MORE]), front.outcomes(&ways[0], &[SHORT, MORE]));
    same(&right, &through);
    for way in &ways[1..] {
        same(&right[..SHORT.trim().lines().count()], &front.outcomes(way, &[SHORT]).await);
    }
    front.several_steps(&ways[3]).await;

    // Still sending when it is refused: whoever ends the connection then takes the answer away from it.
    let small = way("by-small", &[("BAO_ADDR", front.small.clone())]);
    let (code, said) = front.bao(&small, &words("write plain/medium @medium.json")).await;
    assert!(code == 2 && said.contains("Code: 413") && said.contains("see max_request_body"), "{said}");
    front.program.stop().await.unwrap();
}
