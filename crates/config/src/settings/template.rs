//! `template { … }` and `template_config { … }`: files to render.

mod command;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use super::auto_auth::Choosing;
use super::file_access::{Identity, read_id, read_identity, read_mode};
use crate::decode::{Block, Fields, Wording};
use crate::go_duration::GoDuration;

pub use command::{Command, Consequence, DEFAULT_COMMAND_TIMEOUT, DEFAULT_KILL_TIMEOUT};
pub use wait::Wait;

/// How often secrets without a lease are read again when nothing is said; upstream's.
pub const DEFAULT_STATIC_INTERVAL: Duration = Duration::from_secs(300);

/// A file to render.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The template's text, or where it is.
    pub contents: Contents,
    /// The file to write; of an `env_template` the name of its variable.
    pub destination: PathBuf,
    /// What is rendered becomes this variable of the child's environment, and no file.
    pub variable: Option<String>,
    /// Another template or a sink of this configuration writes its file as well, whoever comes last.
    pub shares_file: bool,
    /// Its mode; none keeps an existing file's, or gives a new file 0644.
    pub perms: Option<u32>,
    /// Its owner, if it is to be changed.
    pub owner: Option<Identity>,
    /// Its group, if it is to be changed.
    pub group: Option<Identity>,
    /// Make missing folders (mode 0755); default true.
    pub create_dest_dirs: bool,
    /// Keep the replaced file as `<destination>.bak`.
    pub backup: bool,
    /// What to run when the content changed.
    pub command: Option<Command>,
    /// What a change leads to; default: the command.
    pub on_change: Consequence,
    /// How long further changes are waited for; none renders at once.
    pub wait: Option<Wait>,
    /// How often its secrets that say no duration are read again, where it is not as for all others. Of several
    /// templates with one secret, the shortest counts.
    pub static_secret_render_interval: Option<Duration>,
    /// Left delimiter, default `{{`.
    pub left_delimiter: String,
    /// Right delimiter, default `}}`.
    pub right_delimiter: String,
    /// A missing key is an error instead of `<no value>`.
    pub error_on_missing_key: bool,
    /// Whether this template's failure counts for `exit_on_retry_failure`; default true.
    pub error_fatal: bool,
    /// Folder that `file` may not leave.
    pub sandbox_path: Option<PathBuf>,
    /// Functions that fail when called, by name; `*` stands for any text.
    pub function_denylist: Vec<String>,
    /// Whose token reads its secrets: a place in [`super::Settings::auto_auths`]. `None` where there is none.
    pub auto_auth: Option<usize>,
}

/// An empty template of no file, with what upstream takes where a stanza says nothing.
impl Default for Template {
    fn default() -> Self {
        Self {
            contents: Contents::Inline(Vec::new()),
            destination: PathBuf::new(),
            variable: None,
            shares_file: false,
            perms: None,
            owner: None,
            group: None,
            create_dest_dirs: true,
            backup: false,
            command: None,
            on_change: Consequence::default(),
            wait: None,
            static_secret_render_interval: None,
            left_delimiter: "{{".to_owned(),
            right_delimiter: "}}".to_owned(),
            error_on_missing_key: false,
            error_fatal: true,
            sandbox_path: None,
            function_denylist: Vec::new(),
            auto_auth: None,
        }
    }
}

/// Where a template's text comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// In the configuration.
    Inline(Vec<u8>),
    /// In a file, read when rendering starts.
    File(PathBuf),
}

/// Whose agent the templates are written for: the two differ in functions and in a few rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// OpenBao's.
    OpenBao,
    /// Vault's.
    Vault,
}

/// `template_config { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateConfig {
    /// Whose functions and rules count.
    pub profile: Profile,
    /// End the program when a template cannot be rendered after all retries.
    pub exit_on_retry_failure: bool,
    /// The same, but only until every template was rendered once; what waiting does not mend is not tried again then.
    pub exit_on_start_failure: bool,
    /// How often secrets without a lease are read again.
    pub static_secret_render_interval: Duration,
    /// Share of a lease's life after which a secret that cannot be renewed is read again; default 0.9.
    pub lease_renewal_threshold: f64,
    /// Mode of new files when `perms` is not given; default 0644.
    pub default_perms: u32,
    /// How long further changes are waited for where a template does not say; none renders at once.
    pub wait: Option<Wait>,
}

// === Reading ===

/// Mode of new files when nothing is said; upstream's.
pub const DEFAULT_PERMS: u32 = 0o644;

impl Default for TemplateConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Vault,
            exit_on_retry_failure: false,
            exit_on_start_failure: false,
            static_secret_render_interval: DEFAULT_STATIC_INTERVAL,
            lease_renewal_threshold: DEFAULT_LEASE_RENEWAL_THRESHOLD,
            default_perms: DEFAULT_PERMS,
            wait: None,
        }
    }
}

/// When a secret that cannot be renewed is read again, as a share of its life; upstream's.
pub const DEFAULT_LEASE_RENEWAL_THRESHOLD: f64 = 0.9;

pub(crate) const CONFIG_PREFIX: &str = "error parsing 'template_config': ";

/// `profile` is the one that counts when the stanza names none.
pub(crate) fn read_config<'a>(file: &Fields<'a>, block: &Block<'a>, profile: Profile) -> TemplateConfig {
    let fields = file.inside("template_config", block, CONFIG_PREFIX);
    let default = TemplateConfig::default();
    let threshold = fields.float("lease_renewal_threshold");
    if threshold.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        fields.refuse(
            fields.span_of("lease_renewal_threshold"),
            "`lease_renewal_threshold` must be more than 0 and at most 1",
        );
    }
    let config = TemplateConfig {
        profile: read_profile(&fields).unwrap_or(profile),
        exit_on_retry_failure: fields.strict_bool("exit_on_retry_failure").unwrap_or(false),
        exit_on_start_failure: fields.strict_bool("exit_on_start_failure").unwrap_or(false),
        // Zero and less mean the default upstream as well.
        static_secret_render_interval: fields
            .duration("static_secret_render_interval")
            .and_then(GoDuration::positive)
            .unwrap_or(default.static_secret_render_interval),
        lease_renewal_threshold: threshold.unwrap_or(default.lease_renewal_threshold),
        default_perms: read_mode(&fields, "default_perms").unwrap_or(default.default_perms),
        wait: wait::read(&fields),
    };
    // One connection pool serves all templates here.
    fields.ignore(&["max_connections_per_host"]);
    fields.finish();
    config
}

fn read_profile(fields: &Fields<'_>) -> Option<Profile> {
    match fields.filled("profile")?.as_str() {
        "openbao" => Some(Profile::OpenBao),
        "vault" => Some(Profile::Vault),
        other => {
            let message = format!("unknown `profile` {other:?}");
            fields.refuse_with(fields.span_of("profile"), message, "the profiles are openbao and vault");
            None
        }
    }
}

pub(crate) const PREFIX: &str = "error parsing 'template': ";
const KEYS_PREFIX: &str = "error parsing 'template': decoding failed due to the following error(s):\n\n";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> Choosing<Template> {
    let fields = file.inside("template", block, KEYS_PREFIX).worded(Wording::Template);
    let Choosing { name, place, .. } = Choosing::read(&fields, ());
    Choosing { what: read_keys(fields, block), name, place }
}

fn read_keys(fields: Fields<'_>, block: &Block<'_>) -> Template {
    let default = Template::default();
    let template = Template {
        contents: default.contents,
        destination: fields.file("destination").unwrap_or_default(),
        variable: None,
        shares_file: false,
        perms: read_mode(&fields, "perms"),
        owner: read_id(&fields, "uid").or_else(|| read_identity(&fields, "user")),
        group: read_id(&fields, "gid").or_else(|| read_identity(&fields, "group")),
        create_dest_dirs: fields.strict_bool("create_dest_dirs").unwrap_or(default.create_dest_dirs),
        backup: fields.strict_bool("backup").unwrap_or(default.backup),
        command: command::read(&fields),
        on_change: command::read_consequence(&fields),
        wait: wait::read(&fields),
        static_secret_render_interval: fields
            .duration("static_secret_render_interval")
            .and_then(GoDuration::positive),
        left_delimiter: fields.filled("left_delimiter").unwrap_or(default.left_delimiter),
        right_delimiter: fields.filled("right_delimiter").unwrap_or(default.right_delimiter),
        error_on_missing_key: fields
            .strict_bool("error_on_missing_key")
            .unwrap_or(default.error_on_missing_key),
        error_fatal: fields.strict_bool("error_fatal").unwrap_or(default.error_fatal),
        sandbox_path: fields.file("sandbox_path"),
        function_denylist: read_denylist(&fields),
        auto_auth: None,
    };
    fields.ignore(&["user", "group"]);
    let contents = fields.bytes("contents").filter(|contents| !contents.is_empty());
    let source = fields.file("source");
    if block.object.is_none() {
        return template;
    }
    let start = fields.with_prefix("").worded(Wording::Plain).at_start("template: ");
    let source_span = fields.span_of("source");
    fields.finish();
    if template.destination.as_os_str().is_empty() {
        start.refuse_with(start.span, "missing destination", "destination = \"/path/of/the/file\"");
    }
    let contents = match (contents, source) {
        (Some(contents), None) => Contents::Inline(contents),
        (None, Some(source)) => Contents::File(source),
        (Some(_), Some(_)) => {
            start.refuse(source_span, "cannot specify both 'source' and 'contents'");
            return template;
        }
        (None, None) => {
            start.refuse(start.span, "must specify exactly one of 'source' or 'contents'");
            return template;
        }
    };
    Template { contents, ..template }
}

pub(super) fn read_denylist(fields: &Fields<'_>) -> Vec<String> {
    let split =
        |text: &str| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut names = fields.strings_or("function_denylist", split).unwrap_or_default();
    names.extend(fields.strings_or("function_blacklist", split).unwrap_or_default());
    names
}

/// A list of blocks that the proxy has no use for, and why.
pub(crate) fn warn_unused_by_proxy(file: &Fields<'_>, key: &'static str) {
    if file.has(key) {
        let span = file.key_span(key);
        file.warn(
            span,
            format!("the proxy renders no templates: `{key}` is not read"),
            "run the agent for it",
        );
    }
}
