//! The ways to the server: one for clients and templates, one for logins.

use std::sync::Arc;

use config::Settings;
use tracing::{error, info, warn};
use vault::{Client, ClientSettings, RetryPolicy, Subsystem, TlsSettings, Verify, WhenInconsistent};

use super::{Changes, Fixed, Id, Units};
use crate::daemon::build::{StartError, caller, client_settings};
use crate::daemon::identity::Door;

/// Both.
pub(super) struct Ways {
    pub(super) proxied: Way,
    /// Where there is a login.
    pub(super) own: Option<Way>,
}

/// A client of the server. All that uses it is made anew when it is another.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) id: Id,
    settings: ClientSettings,
    pub(super) client: Client,
}

/// The ways as they are to be; some may be the old ones.
pub(super) type Next = Ways;

/// What makes a client another. The rest is put in while it runs.
fn is_same(one: &ClientSettings, other: &ClientSettings) -> bool {
    one.address == other.address
        && one.others == other.others
        && one.timeout == other.timeout
        && one.proxies == other.proxies
}

impl Way {
    fn take(old: Option<&Self>, settings: ClientSettings, fixed: &Fixed) -> Result<Self, StartError> {
        match old.filter(|old| is_same(&old.settings, &settings)) {
            Some(old) => {
                if old.settings.tls != settings.tls {
                    // To see whether it can be.
                    Client::new(&settings)?;
                }
                Ok(Self { settings, ..old.clone() })
            }
            None => Ok(Self { id: fixed.id(), client: Client::new(&settings)?, settings }),
        }
    }
}

impl Ways {
    /// As reports call them.
    pub(super) fn clients(&self) -> Vec<(&'static str, Client)> {
        let own = self.own.iter().map(|own| ("auto_auth", own.client.clone()));
        std::iter::once(("proxy", self.proxied.client.clone())).chain(own).collect()
    }

    /// Puts TLS in. Where none is spoken, connections need not be given up for it.
    pub(super) fn reload_tls(&self, settings: &TlsSettings) {
        let way = &self.proxied.settings;
        if !std::iter::once(&way.address).chain(&way.others).any(|address| address.is_tls()) {
            return;
        }
        for (_, client) in self.clients() {
            if let Err(error) = client.reload_tls(settings) {
                error!(target: "", error = %error, "TLS towards the server could not be reloaded, the old files stay in force");
                return;
            }
        }
    }
}

/// The server, as logins reach it.
pub(super) fn door(settings: &Settings, own: &Way) -> Door {
    Door {
        upstream: Arc::new(own.client.clone()),
        client: client_settings(settings, !settings.no_keep_alive.auto_auth),
        caller: caller(settings, Subsystem::AutoAuth),
    }
}

impl Units {
    pub(super) fn prepare_ways(
        &self,
        settings: &Settings,
        fixed: &Fixed,
        problems: &mut Vec<StartError>,
    ) -> Option<Next> {
        if self.ways.is_none() || self.settings.vault != settings.vault {
            remark(settings);
        }
        let old = self.ways.as_ref();
        let consistency = settings.api_proxy.consistency;
        let proxied = ClientSettings {
            own_places: fixed.own_places.clone(),
            retry_inconsistent: consistency.is_none_or(|action| action != WhenInconsistent::Fail),
            ..client_settings(settings, !settings.no_keep_alive.proxying)
        };
        let own = ClientSettings {
            own_places: fixed.own_places.clone(),
            retry: RetryPolicy::Never,
            ..client_settings(settings, !settings.no_keep_alive.auto_auth)
        };
        let ways = Way::take(old.map(|old| &old.proxied), proxied, fixed).and_then(|proxied| {
            let own = match settings.auto_auths.is_empty() {
                true => None,
                false => Some(Way::take(old.and_then(|old| old.own.as_ref()), own, fixed)?),
            };
            Ok(Ways { proxied, own })
        });
        ways.map_err(|error| problems.push(error)).ok()
    }

    /// Whoever waits for a server that cannot be reached is told so now.
    pub(in crate::daemon) fn ask_no_more(&self) {
        let Some(Way { client, settings, .. }) = self.ways.as_ref().map(|ways| &ways.proxied) else { return };
        client.set_manners(&ClientSettings { retry: RetryPolicy::Never, ..settings.clone() });
    }

    pub(super) fn commit_ways(&mut self, next: Next, before: &Settings, changes: &mut Changes) {
        if self.ways.is_some() && self.settings.vault != before.vault {
            changes.changed("vault", self.settings.vault.address.to_string());
        }
        for way in std::iter::once(&next.proxied).chain(&next.own) {
            way.client.set_manners(&way.settings);
        }
        self.ways = Some(next);
    }
}

fn remark(settings: &Settings) {
    if settings.vault.tls.verify == Verify::Skip {
        warn!(target: "", "tls_skip_verify is on: whoever answers at the server's address is believed");
    }
    let addresses = std::iter::once(&settings.vault.address).chain(&settings.vault.others);
    for address in addresses.filter(|address| !address.is_tls() && !address.is_local()) {
        warn!(target: "", address = %address, "requests to the server are not encrypted");
    }
    if let Some(proxy) = settings.vault.proxies.way_to(&settings.vault.address) {
        info!(target: "", proxy = %proxy, "the server is reached through a proxy");
    }
}
