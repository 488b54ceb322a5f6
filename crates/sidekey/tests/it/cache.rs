//! The cache before the real server: what is one request there, and what is never handed out again.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --no-capture")]

mod bad_answers;
mod clearing;
mod command;
mod databases;
mod engines;
mod forgotten;
mod logins;
mod namespaces;
mod outage;

use serde_json::{Value, json};
use testkit::{Answer, Api};

use crate::Stage;

/// A login that is like any other for the server, and a request of its own for a cache.
fn login(credentials: &(String, String), number: u32) -> Value {
    json!({"role_id": credentials.0, "secret_id": credentials.1, "n": number})
}

/// Logs in through a listener.
async fn log_in(listener: &Api, credentials: &(String, String), number: u32) -> Answer {
    listener.post("auth/approle/login", &login(credentials, number)).await.unwrap()
}

/// A text of an answer's body, which must be there.
fn text<'a>(answer: &'a Answer, pointer: &str) -> &'a str {
    let found = answer.json.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {} {}", answer.status, answer.json))
}

fn token(answer: &Answer) -> &str {
    text(answer, "/auth/client_token")
}

impl Stage {
    /// How many tokens the server knows.
    async fn tokens(&self) -> usize {
        let all = self.root.send("LIST", "/v1/auth/token/accessors", &[], "").await.unwrap();
        all.json["data"]["keys"].as_array().map_or(0, Vec::len)
    }

    /// How many leases the server has for a path.
    async fn leases(&self, path: &str) -> usize {
        let all = self.root.send("LIST", &format!("/v1/sys/leases/lookup/{path}"), &[], "").await.unwrap();
        all.json["data"]["keys"].as_array().map_or(0, Vec::len)
    }
}
